-- wrk script: one POST, described by the Lua table in the file named by BENCH_REQUEST
-- (path, headers, body); prints the run's figures as one line of JSON after "@@".
local request = dofile(os.getenv("BENCH_REQUEST"))
wrk.method, wrk.path, wrk.body = "POST", request.path, request.body
for name, value in pairs(request.headers) do
  wrk.headers[name] = value
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '@@{"requests":%d,"seconds":%.6f,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"bad_status":%d,"socket_errors":%d,"timeouts":%d,"bytes":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    failed.status, failed.connect + failed.read + failed.write, failed.timeout, summary.bytes))
end
