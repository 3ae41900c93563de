-- Viewers of a live playlist for wrk: the connections ask in turn for the paths of a file, each about every two seconds as
-- players do, or without a pause. Arguments: the file, one path a line; "paced" or "full".
local paths, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  math.randomseed(os.time())
  if args[2] ~= "paced" then delay = nil end
end

function delay() return math.random(1500, 2500) end

function request()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end

function done(summary)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "failed": %d}\n', summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
