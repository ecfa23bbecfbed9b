-- For wrk: posts the images of a folder in turn, and prints the result as JSON.
-- wrk … --script post.lua URL -- FILE…

local requests, turn = {}, 0

function init(files)
  for _, name in ipairs(files) do
    local file = assert(io.open(name, "rb"))
    local body = '--image\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\n' ..
      'Content-Type: image/png\r\n\r\n' .. file:read("*all") .. '\r\n--image--\r\n'
    file:close()
    table.insert(requests, wrk.format("POST", "/predict",
      {["Content-Type"] = "multipart/form-data; boundary=image", ["Host"] = "localhost"}, body))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d, "refused": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
