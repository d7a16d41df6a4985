-- What wrk sends: one question after the other, about customers in turn; what came of it as one line of JSON.
--   wrk -s ask.lua http://... -- METHOD PATH BODY FIRST COUNT [Header: value ...]
-- In PATH, BODY and the headers stands {customer}.

local first, count, number, template, pieces

function init(arguments)
  local method, path, body = arguments[1], arguments[2], arguments[3]
  first, count, number = tonumber(arguments[4]), tonumber(arguments[5]), 0
  local headers = {}
  for at = 6, #arguments do
    local name, value = arguments[at]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  template = function(customer)
    local function named(text) return (text:gsub("{customer}", customer)) end
    local mine = {}
    for name, value in pairs(headers) do mine[name] = named(value) end
    return wrk.format(method, named(path), mine, body ~= "" and named(body) or nil)
  end
  pieces = {}
  if count <= 20000 then
    for at = 0, count - 1 do pieces[at] = template(string.format("cus_%09d", first + at)) end
  end
end

function request()
  local at = number % count
  number = number + 1
  return pieces[at] or template(string.format("cus_%09d", first + at))
end

function done(summary, latency)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  ))
end
