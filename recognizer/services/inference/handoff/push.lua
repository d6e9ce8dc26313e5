-- Put items on a list and tell whether the caller must call a worker to a shift.
--
-- KEYS  1 the list   2 shifts (token -> lease end)   3 workers (id -> heartbeat end)
-- ARGV  1 a token for the shift that may be needed   2 its lease, seconds   3 items that make one batch
--       4 seconds after which the items are stale, 0 for never; their end is written in front of each
--       5 most items the list may hold, 0 for any number   6… the items
--
-- Returns {what, workers alive, now}. what: "known" the token has a lease already (now a new one), "new" it got
-- one, so its owner must see to it that the shift takes place, "none" enough shifts are under way, "full" nothing
-- was pushed. Times are Redis's own, in seconds, so that the clocks of several hosts do not matter.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local token, lease, batch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local patience, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
-- No lease and no heartbeat lasts for a minute: one that ends later is of before the clock was set back.
local latest = now + 60
local alive = redis.call('ZCOUNT', KEYS[3], now, latest)
local stamp = string.format('%.6f', now)

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], latest, '+inf')
local waiting = redis.call('LLEN', KEYS[1])
if limit > 0 and waiting >= limit then
  return {'full', alive, stamp}
end
local front = patience > 0 and string.format('%.6f ', now + patience) or ''
for i = 6, #ARGV do
  waiting = redis.call('RPUSH', KEYS[1], front .. ARGV[i])
end

local what = 'none'
if redis.call('ZSCORE', KEYS[2], token) then
  what = 'known'
else
  local shifts = redis.call('ZCARD', KEYS[2])
  if shifts == 0 or (waiting > batch and shifts < alive) then
    what = 'new'
  end
end
if what ~= 'none' then
  redis.call('ZADD', KEYS[2], now + lease, token)
end
return {what, alive, stamp}
