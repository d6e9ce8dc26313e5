-- wrk script of bench/support/load.py: post the bodies of a folder in turn, count the status codes, print the figures as JSON.

local bodies, number = {}, 0
local headers = {}

function init(args)
  local folder, content_type, offset = args[1], args[2], tonumber(args[3])
  headers["Content-Type"] = content_type
  while true do
    local file = io.open(string.format("%s/%d", folder, #bodies), "rb")
    if not file then break end
    bodies[#bodies + 1] = file:read("*a")
    file:close()
  end
  number = offset
  statuses = {}
end

function request()
  number = number + 1
  return wrk.format("POST", nil, headers, bodies[number % #bodies + 1])
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function done(summary, latency)
  local total = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses") or {}) do
      total[status] = (total[status] or 0) + count
    end
  end
  local parts = {}
  for status, count in pairs(total) do parts[#parts + 1] = string.format('"%d": %d', status, count) end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d, "mean": %.0f, "max": %d, ' ..
    '"socket_errors": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.mean, latency.max, errors.connect + errors.read + errors.write + errors.timeout,
    table.concat(parts, ", ")))
end
