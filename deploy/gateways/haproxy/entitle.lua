-- The action "entitle" of haproxy.cfg: asks whether a request may pass. Its arguments: what to do where that can't be
-- found out ("closed" or "open"), and the address of the frontend that asks the query process.

local LONGEST_MS = 2000 -- the frontend itself gives up after a second; this is for the case that it does not answer

local CREDENTIALS = { "x-api-key", "authorization" }
local PASSED_ON = { "content-type", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy" }

local function first(headers, name)
  local values = headers and headers[name]
  return values and values[0]
end

local function question(txn)
  local asked = {
    host = { "entitle" },
    ["x-forwarded-method"] = { txn.sf:method() },
    ["x-forwarded-host"] = { txn.sf:req_hdr("Host") },
    ["x-forwarded-uri"] = { txn.sf:path() },
  }
  for _, name in ipairs(CREDENTIALS) do
    local value = txn.sf:req_hdr(name)
    if value ~= "" then asked[name] = { value } end
  end
  local subject = txn:get_var("txn.entitlement_subject")
  if subject then asked["entitlement-subject"] = { subject } end
  return asked
end

local function deny(txn, status, answer)
  local reply = txn:reply()
  reply:set_status(status)
  reply:add_header("cache-control", "no-store")
  for _, name in ipairs(PASSED_ON) do
    local value = first(answer.headers, name)
    if value then reply:add_header(name, value) end
  end
  for name in pairs(answer.headers or {}) do
    if name:find("^entitlement%-") then reply:add_header(name, first(answer.headers, name)) end
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end

local UNKNOWN = {
  headers = { ["content-type"] = { [0] = "application/problem+json" }, ["retry-after"] = { [0] = "1" } },
  body = '{"title":"Entitlements cannot be checked","status":503}\n',
}

core.register_action("entitle", { "http-req" }, function(txn, on_failure, address)
  local answer = core.httpclient():get{
    url = "http://entitle/v1/check", dst = address, headers = question(txn), timeout = LONGEST_MS,
  }
  local status = answer and answer.status or 0
  if status == 200 then
    for name in pairs(answer.headers) do
      if name:find("^entitlement%-") then txn.http:req_set_header(name, first(answer.headers, name)) end
    end
    txn:set_var("txn.entitlement", "passes")
  elseif status >= 400 and status < 500 then
    deny(txn, status, answer)
  elseif on_failure == "open" then
    txn.http:req_set_header("Entitlement-Degraded", "1")
    txn:set_var("txn.entitlement", "passes")
  else
    deny(txn, 503, UNKNOWN)
  end
end, 2)
