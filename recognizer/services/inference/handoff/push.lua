-- Append items to a list, and decide whether the caller must start a worker session.
--
-- KEYS  1 the list   2 shifts (token -> lease end)   3 workers (id -> heartbeat expiry)
-- ARGV  1 token for the session that may be needed   2 its lease, seconds   3 maximum batch size
--       4 seconds after which the items are stale, 0 for never; each item is prefixed with its expiry
--       5 maximum length of the list, 0 for no limit   6… the items
--
-- Returns {outcome, number of live workers, now}. outcome: "known" (the token had a lease, which was renewed), "new"
-- (the token got a lease; the caller must start the session), "none" (enough sessions are running) or "full" (nothing
-- was pushed). Times are Redis's, in seconds, so that clock differences between hosts do not matter.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local token, lease, batch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local patience, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
-- Leases and heartbeats last less than a minute: a later end is from before the clock was set back.
local latest = now + 60
local alive = redis.call('ZCOUNT', KEYS[3], now, latest)
local stamp = string.format('%.6f', now)

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], latest, '+inf')
local waiting = redis.call('LLEN', KEYS[1])
if limit > 0 and waiting >= limit then
  return {'full', alive, stamp}
end
local prefix = patience > 0 and string.format('%.6f ', now + patience) or ''
for i = 6, #ARGV do
  waiting = redis.call('RPUSH', KEYS[1], prefix .. ARGV[i])
end

local outcome = 'none'
if redis.call('ZSCORE', KEYS[2], token) then
  outcome = 'known'
else
  local shifts = redis.call('ZCARD', KEYS[2])
  if shifts == 0 or (waiting > batch and shifts < alive) then
    outcome = 'new'
  end
end
if outcome ~= 'none' then
  redis.call('ZADD', KEYS[2], now + lease, token)
end
return {outcome, alive, stamp}
