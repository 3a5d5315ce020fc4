-- For wrk: POSTs the requests of a file in turn and prints what came of them as one line of JSON.
-- WRK_BODIES names the file, a body a line; WRK_KEY is the bearer key, WRK_PATH the path.

local requests = {}
local turn = 0

function init(arguments)
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. os.getenv("WRK_KEY"),
  }
  for body in io.lines(os.getenv("WRK_BODIES")) do
    requests[#requests + 1] = wrk.format("POST", os.getenv("WRK_PATH"), headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, each)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"median":%d,"p99":%d,"refused":%d,"broken":%d,"timed_out":%d,"status":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read + errors.write, errors.timeout, errors.status
  ))
end
