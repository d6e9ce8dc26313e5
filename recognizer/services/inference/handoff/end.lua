-- Release or transfer the lease of a worker session, unless items are queued and there is no successor.
--
-- KEYS  1 queue   2 previews   3 shifts (token -> lease end)
-- ARGV  1 token of the session   2 token of its successor, or ""   3 lease of the successor, seconds
--       4 "1": transfer the lease even if nothing is queued
--
-- Returns "over" (nothing is queued; the token is removed, so the next push starts a session), "handed over" (the
-- successor has a lease; the caller must start it) or "go on" (items are queued and there is no successor).
-- The check and the release must be atomic: a push between them would still see the token and start no session.
local token, successor, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local waiting = redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[2])
if waiting == 0 and ARGV[4] ~= '1' then
  redis.call('ZREM', KEYS[3], token)
  return 'over'
end
if successor == '' then
  return 'go on'
end
local time = redis.call('TIME')
redis.call('ZREM', KEYS[3], token)
redis.call('ZADD', KEYS[3], time[1] + time[2] / 1000000 + lease, successor)
return 'handed over'
