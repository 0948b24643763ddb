-- One of ARGV[1] in a sliding window of ARGV[2] milliseconds: {allowed, remaining, reset}. As in window.rs.
local limit, w = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME')
local at = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local slot = math.floor(at / w)
local into = at - slot * w
local h = redis.call('HMGET', KEYS[1], 's', 'n', 'b')
local s, now, before = tonumber(h[1]), tonumber(h[2]) or 0, tonumber(h[3]) or 0
if s ~= slot then
  if s == slot - 1 then before = now else before = 0 end
  now = 0
end
local used = before * (w - into) / w + now
if used + 1 <= limit then
  redis.call('HSET', KEYS[1], 's', slot, 'n', now + 1, 'b', before)
  redis.call('PEXPIRE', KEYS[1], 2 * w)
  return {1, math.floor(limit - used - 1), math.ceil(w - into)}
end
if now + 1 <= limit then
  return {0, 0, math.ceil(w * (1 - (limit - now - 1) / before) - into)}
elseif limit >= 1 then
  return {0, 0, math.ceil(w - into + w * (1 - (limit - 1) / now))}
end
return {0, 0, w}
