#!lua name=meterd
-- meterd version 1
--
-- Everything meterd changes in Redis goes through these functions. Nothing in Redis rolls back,
-- so each of them checks first and writes last. Numbers that matter are strings: Lua's are
-- doubles. Keys are built from the partition's prefix; they all share its hash tag.

local SUPERVISOR = 'supervisor'

local function prefix_of(commands_key)
  return string.sub(commands_key, 1, -9) -- 'commands' has 8 letters
end

local function allowed(prefix, actor, epoch)
  return redis.call('HGET', prefix .. 'epochs', actor) == epoch
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Lead: become the one working daemon, or learn for how long another one still is.
-- A new leader takes every older actor's right to write.
local function lead(keys, args)
  local prefix, token, lease_ms = prefix_of(keys[1]), args[1], args[2]
  local holder = redis.call('GET', prefix .. 'leader')
  if holder and holder ~= token then
    return {'held', redis.call('PTTL', prefix .. 'leader')}
  end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  local epoch = tostring(redis.call('INCR', prefix .. 'epoch'))
  redis.call('DEL', prefix .. 'epochs')
  redis.call('HSET', prefix .. 'epochs', SUPERVISOR, epoch)
  return {'leading', epoch}
end

-- Renew the lease; says whether this daemon still leads.
local function renew(keys, args)
  local prefix, token, epoch, lease_ms = prefix_of(keys[1]), args[1], args[2], args[3]
  if not allowed(prefix, SUPERVISOR, epoch) then return 0 end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  return 1
end

-- Resign: leave without making the next one wait for the lease.
local function resign(keys, args)
  local prefix, token = prefix_of(keys[1]), args[1]
  if redis.call('GET', prefix .. 'leader') ~= token then return 0 end
  redis.call('DEL', prefix .. 'leader', prefix .. 'epochs')
  return 1
end

-- Grant an actor an epoch of its own; an older holder of the name can't write any more.
local function grant(keys, args)
  local prefix, leader_epoch, actor = prefix_of(keys[1]), args[1], args[2]
  if not allowed(prefix, SUPERVISOR, leader_epoch) then return false end
  local epoch = tostring(redis.call('INCR', prefix .. 'epoch'))
  redis.call('HSET', prefix .. 'epochs', actor, epoch)
  return epoch
end

-- Read commands: new ones (after = '>') or those delivered and not acknowledged. Only the leader
-- can; otherwise a daemon that was declared dead could swallow entries out of their order.
local function read(keys, args)
  local prefix, epoch, after, count = prefix_of(keys[1]), args[1], args[2], args[3]
  if not allowed(prefix, SUPERVISOR, epoch) then return redis.error_reply('FENCED not leading') end
  local got = redis.call('XREADGROUP', 'GROUP', 'meterd', 'meterd', 'COUNT', count,
    'STREAMS', keys[1], after)
  if not got then return {} end
  return got[1] and got[1][2] or {}
end

local function commit_guards(prefix, c)
  if not allowed(prefix, c.actor, c.epoch) then return {'fenced'} end
  if c.user ~= '' then
    local head = redis.call('GETRANGE', prefix .. 'account:' .. c.user, 0, 63)
    if (string.match(head, '^([^|]*)|') or '') ~= c.before then return {'stale'} end
  end
  local known = {'known'}
  for _, entry in ipairs(c.entries) do
    if entry.remember ~= '' then
      local seen = redis.call('GET', prefix .. 'id:' .. entry.id)
      if seen then
        known[#known + 1] = entry.id
        known[#known + 1] = seen
      end
    end
  end
  if #known > 1 then return known end
  for _, chat in ipairs(c.chats) do
    if chat[3] and redis.call('EXISTS', prefix .. 'chat:' .. chat[1]) == 1 then
      return {'exists', chat[1]}
    end
  end
  return nil
end

local function write_entry(prefix, entry, limits)
  if entry.remember ~= '' then
    redis.call('SET', prefix .. 'id:' .. entry.id, entry.remember, 'PX', limits.id_ttl_ms)
  end
  if entry.reply_to ~= '' then
    local reply = prefix .. 'reply:' .. entry.reply_to
    redis.call('XADD', reply, 'MAXLEN', '~', limits.reply_entries_max, '*', unpack(entry.reply))
    redis.call('PEXPIRE', reply, limits.reply_ttl_ms)
  end
  if #entry.dead > 0 then
    redis.call('XADD', prefix .. 'dead', 'MAXLEN', '~', limits.dead_entries_max, '*',
      unpack(entry.dead))
  end
end

-- Commit: what follows from a run of commands of one account (or from one entry without an
-- account), all of it or nothing: acknowledgements, state, snapshots, ids, replies, events, and
-- the outbox entry that Postgres gets.
local function commit(keys, args)
  local prefix, c = prefix_of(keys[1]), cmsgpack.unpack(args[1])
  local refusal = commit_guards(prefix, c)
  if refusal then return refusal end
  local ids = {}
  for i, entry in ipairs(c.entries) do ids[i] = entry.entry end
  -- Without an account there is no version to tell a second delivery by: the pending list does.
  if redis.call('XACK', keys[1], 'meterd', unpack(ids)) == 0 and c.user == '' then
    return {'done'}
  end
  if c.user ~= '' then
    redis.call('SET', prefix .. 'account:' .. c.user, c.state)
    if c.open > 0 then
      redis.call('SADD', prefix .. 'open', c.user)
    else
      redis.call('SREM', prefix .. 'open', c.user)
    end
    if c.wallet ~= '' then redis.call('SET', prefix .. 'wallet:' .. c.user, c.wallet) end
  end
  for _, chat in ipairs(c.chats) do redis.call('SET', prefix .. 'chat:' .. chat[1], chat[2]) end
  for _, entry in ipairs(c.entries) do write_entry(prefix, entry, c.limits) end
  for _, event in ipairs(c.events) do
    redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', c.limits.event_entries_max, '*',
      unpack(event))
  end
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', c.facts)
  return {'ok'}
end

-- Settle: something falls due for an account that has not changed since. The entry must be later
-- than the due millisecond by the queue's clock; if it is not yet, says how long to wait.
local function settle(keys, args)
  local prefix, actor, epoch = prefix_of(keys[1]), args[1], args[2]
  if not allowed(prefix, actor, epoch) then return redis.error_reply('FENCED epoch is over') end
  local user, before, due = args[3], args[4], tonumber(args[5])
  local head = redis.call('GETRANGE', prefix .. 'account:' .. user, 0, 63)
  if string.match(head, '^([^|]*)|') ~= before then return -1 end
  local wait_ms = due + 1 - now_ms()
  if wait_ms > 0 then return wait_ms end
  redis.call('XADD', keys[1], '*', 'type', 'settle', 'user_id', user)
  return 0
end

redis.register_function('meterd_lead', lead)
redis.register_function('meterd_renew', renew)
redis.register_function('meterd_resign', resign)
redis.register_function('meterd_grant', grant)
redis.register_function('meterd_read', read)
redis.register_function('meterd_commit', commit)
redis.register_function('meterd_settle', settle)
