-- SPDX-License-Identifier: Apache-2.0
-- The shop's customers, for wrk: takes the routes in turns, gives each request a traceparent, and makes one request
-- in fifty, at most 40 of each thread, part of one trace that the caller chose (a bookkeeper's, with many reports), so
-- that one trace can be looked at among all the others.
--
--   wrk -t2 -c8 -d20s -s load.lua http://127.0.0.1:PORT -- TRACE_ID [REQUESTS]
--
-- TRACE_ID: 32 hex digits. REQUESTS: each of wrk's threads stops after so many (default 1000000).
local turns = {
  "products", "cart", "report", "cart", "checkout", "products", "cart", "products", "checkout", "cart",
}
local trace_turns = { "report", "products", "report", "checkout", "report", "cart" }
local trace_every = 50
local trace_limit = 40

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  chosen_trace = args[1] or string.rep("1", 32)
  limit = tonumber(args[2]) or 1000000
  sent = 0
  in_trace = 0
  math.randomseed(os.time() * 16 + number)
end

local function hex(digits)
  local text = {}
  for i = 1, digits / 4 do
    text[i] = string.format("%04x", math.random(0, 65535))
  end
  return table.concat(text)
end

-- Whether the next request belongs to the chosen trace.
local function chosen()
  return sent % trace_every == trace_every - 1 and in_trace < trace_limit
end

function request()
  local what = turns[sent % #turns + 1]
  local trace = hex(28) .. "0001"
  if chosen() then
    what = trace_turns[in_trace % #trace_turns + 1]
    trace = chosen_trace
    in_trace = in_trace + 1
  end
  local headers = { traceparent = "00-" .. trace .. "-" .. hex(12) .. "0001-01" }
  local id = math.random(1, 800)
  sent = sent + 1
  if what == "products" then
    return wrk.format("GET", "/products?category=" .. id % 4, headers)
  elseif what == "cart" then
    return wrk.format("GET", "/cart/" .. id, headers)
  elseif what == "checkout" then
    return wrk.format("POST", "/checkout?customer=" .. id, headers)
  end
  return wrk.format("GET", "/report", headers)
end

function response(status)
  if sent >= limit then
    wrk.thread:stop()
  end
end

function done(summary)
  local seconds = summary.duration / 1e6
  io.write(string.format("load: %d requests in %.1f s, %.0f a second, %d not answered with 2xx, %d errors\n",
    summary.requests, seconds, summary.requests / seconds, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
