-- End a shift, unless that would strand what was pushed a moment ago.
--
-- KEYS  1 queue   2 previews   3 shifts (token -> lease end)
-- ARGV  1 the shift's token   2 the token of the shift that takes over, or ""   3 the lease of that one, seconds
--       4 "1": somebody takes over even when nothing waits
--
-- Returns "over" (nothing waits; the token is gone, so the next push calls for a shift), "handed over" (the
-- successor holds a lease; the caller must call it) or "go on" (something waits and there is no successor).
-- Looking and leaving are one step here. As two, a push in between would still see the token, call nobody, and wait
-- for ever.
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
