#!lua name=meterd
-- meterd version 2
--
-- Everything meterd changes in Redis goes through these functions. Nothing in Redis rolls back,
-- so each of them checks first and writes last. Numbers that matter are strings: Lua's are
-- doubles. Keys are built from the partition's prefix; they all share its hash tag.

local VERSION = '2'
local SUPERVISOR = 'supervisor'

-- The memory that the working daemon has found complete, as this server process has seen it. It is
-- gone when the process ends and is not replicated: after a restart or a failover nobody may write
-- before a daemon has compared what is here with what Postgres knows.
local sworn = nil

local function prefix_of(commands_key)
  return string.sub(commands_key, 1, -9) -- 'commands' has 8 letters
end

local function remembers(prefix)
  return sworn ~= nil and redis.call('GET', prefix .. 'memory') == sworn
end

local function allowed(prefix, actor, epoch)
  if not remembers(prefix) then return false end -- guard: sworn
  return redis.call('HGET', prefix .. 'epochs', actor) == epoch -- guard: epoch
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Lead: become the one working daemon, or learn for how long another one still is.
-- A new leader takes every older actor's right to write. It may work at once if this server
-- process has forgotten nothing since a daemon swore to its memory; else it has to swear first.
local function lead(keys, args)
  local prefix, token, lease_ms = prefix_of(keys[1]), args[1], args[2]
  local holder = redis.call('GET', prefix .. 'leader')
  if holder and holder ~= token then
    return {'held', tostring(redis.call('PTTL', prefix .. 'leader'))}
  end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  local epoch = tostring(redis.call('INCR', prefix .. 'epoch'))
  redis.call('DEL', prefix .. 'epochs')
  redis.call('HSET', prefix .. 'epochs', SUPERVISOR, epoch)
  return {'leading', epoch, remembers(prefix) and 'sworn' or 'unsworn'}
end

-- Swear: the leader has compared what is here with what Postgres knows, and nothing is missing.
local function swear(keys, args)
  local prefix, token, epoch, memory = prefix_of(keys[1]), args[1], args[2], args[3]
  if redis.call('GET', prefix .. 'leader') ~= token then return 0 end
  if redis.call('HGET', prefix .. 'epochs', SUPERVISOR) ~= epoch then return 0 end
  local held = redis.call('GET', prefix .. 'memory')
  if held and held ~= memory then return 0 end
  redis.call('SET', prefix .. 'memory', memory)
  sworn = memory
  return 1
end

-- Renew the lease; says whether this daemon still leads, sworn or not yet.
local function renew(keys, args)
  local prefix, token, epoch, lease_ms = prefix_of(keys[1]), args[1], args[2], args[3]
  if redis.call('HGET', prefix .. 'epochs', SUPERVISOR) ~= epoch then return 0 end
  local holder = redis.call('GET', prefix .. 'leader')
  if holder and holder ~= token then return 0 end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  return remembers(prefix) and 1 or 2
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

-- Read commands: new ones (after = '>') or those delivered and not acknowledged, with the queue's
-- clock. Only the leader can; otherwise a daemon that was declared dead could swallow entries out
-- of their order.
local function read(keys, args)
  local prefix, epoch, after, count = prefix_of(keys[1]), args[1], args[2], args[3]
  if not allowed(prefix, SUPERVISOR, epoch) then return redis.error_reply('FENCED not leading') end
  local got = redis.call('XREADGROUP', 'GROUP', 'meterd', 'meterd', 'COUNT', count,
    'STREAMS', keys[1], after)
  local entries = got and got[1] and got[1][2] or {}
  return {tostring(now_ms()), entries}
end

local function commit_guards(prefix, c)
  if not allowed(prefix, c.actor, c.epoch) then return {'fenced'} end
  if c.user ~= '' then
    local head = redis.call('GETRANGE', prefix .. 'account:' .. c.user, 0, 63)
    if (string.match(head, '^([^|]*)|') or '') ~= c.before then return {'stale'} end -- guard: stale
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
  if #known > 1 then return known end -- guard: known
  for _, chat in ipairs(c.chats) do
    if chat[3] and redis.call('EXISTS', prefix .. 'chat:' .. chat[1]) == 1 then
      return {'exists', chat[1]} -- guard: exists
    end
  end
  return nil
end

local function write_account(prefix, c)
  local key = prefix .. 'account:' .. c.user
  if c.aside ~= '' then
    -- Nobody could decide: the account stays as it is, whatever it is, but goes past the entry.
    local state = string.match(redis.call('GET', key) or '', '^[^|]*(|.*)$')
    redis.call('SET', key, state and c.aside .. state or c.state)
    return
  end
  redis.call('SET', key, c.state)
  redis.call(c.open > 0 and 'SADD' or 'SREM', prefix .. 'open', c.user)
  if c.wallet ~= '' then redis.call('SET', prefix .. 'wallet:' .. c.user, c.wallet) end
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
    return {'done'} -- guard: done
  end
  if c.user ~= '' then write_account(prefix, c) end
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
-- than the due millisecond by the queue's clock; if it is not yet, says how long to wait. While an
-- operator has to decide about the clock, nothing falls due.
local HELD_MS = 1000
local function settle(keys, args)
  local prefix, actor, epoch = prefix_of(keys[1]), args[1], args[2]
  if not allowed(prefix, actor, epoch) then return redis.error_reply('FENCED epoch is over') end
  local user, before, due = args[3], args[4], tonumber(args[5])
  local head = redis.call('GETRANGE', prefix .. 'account:' .. user, 0, 63)
  if string.match(head, '^([^|]*)|') ~= before then return -1 end -- guard: settle
  if redis.call('EXISTS', prefix .. 'hold') == 1 then return HELD_MS end
  local wait_ms = due + 1 - now_ms()
  if wait_ms > 0 then return wait_ms end
  redis.call('XADD', keys[1], '*', 'type', 'settle', 'user_id', user)
  return 0
end

-- Deliver: Postgres has these entries of the outbox. Chats that ended may expire, then the entries
-- go. Only the recorder in office may say so.
local function deliver(keys, args)
  local prefix, d = prefix_of(keys[1]), cmsgpack.unpack(args[1])
  if not allowed(prefix, d.actor, d.epoch) then return redis.error_reply('FENCED epoch is over') end
  for _, chat in ipairs(d.ended) do
    redis.call('PEXPIRE', prefix .. 'chat:' .. chat, d.ended_ttl_ms)
  end
  for _, entry in ipairs(d.refused) do
    local found = redis.call('XRANGE', prefix .. 'outbox', entry[1], entry[1])[1]
    if found then
      redis.call('XADD', prefix .. 'outbox:refused', '*', 'why', entry[2], unpack(found[2]))
    end
    redis.call('XDEL', prefix .. 'outbox', entry[1])
  end
  for _, entry in ipairs(d.delivered) do redis.call('XDEL', prefix .. 'outbox', entry) end
  return #d.delivered
end

-- Dispose of a dead letter: send its command again (its id forgotten, so that it counts), or drop
-- it. What the operator did goes to Postgres with it.
local function dispose(keys, args)
  local prefix, d = prefix_of(keys[1]), cmsgpack.unpack(args[1])
  if redis.call('XDEL', prefix .. 'dead', d.letter) == 0 then return '' end
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', d.facts)
  if #d.again == 0 then return 'dropped' end
  local key = prefix .. 'id:' .. d.id
  if d.id ~= '' and string.match(redis.call('GET', key) or '', ' internal_error$') then
    redis.call('DEL', key)
  end
  return redis.call('XADD', keys[1], '*', unpack(d.again))
end

-- Release: an operator has decided about the clock; due changes and commands go on.
local function release(keys, args)
  local prefix = prefix_of(keys[1])
  if redis.call('DEL', prefix .. 'hold') == 0 then return 0 end
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', args[1])
  return 1
end

-- Trim: entries before this one were handled long ago. Only the leader knows which were.
local function trim(keys, args)
  if not allowed(prefix_of(keys[1]), SUPERVISOR, args[1]) then return 0 end
  return redis.call('XTRIM', keys[1], 'MINID', args[2])
end

-- Status: what was published last, unless this server has been restarted since.
local function status(keys, args)
  local prefix = prefix_of(keys[1])
  local told = redis.call('GET', prefix .. 'status')
  if not told then return {'', ''} end
  local working = redis.call('HGET', prefix .. 'epochs', SUPERVISOR)
  return {told, remembers(prefix) and 'sworn' or (working and 'unsworn' or 'alone')}
end

-- Publish what runs where; on a full server too, since that is what it has to say then.
local function publish(keys, args)
  redis.call('SET', prefix_of(keys[1]) .. 'status', args[1], 'PX', args[2])
  return 1
end

local function version() return VERSION end

-- What holds on to the lead or makes room works on a full server too.
local function register(name, callback, ...)
  redis.register_function{function_name = 'meterd_' .. name, callback = callback, flags = {...}}
end

register('version', version, 'no-writes', 'allow-stale')
register('lead', lead, 'allow-oom')
register('swear', swear, 'allow-oom')
register('renew', renew, 'allow-oom')
register('resign', resign, 'allow-oom')
register('grant', grant)
register('read', read)
register('commit', commit)
register('settle', settle)
register('deliver', deliver, 'allow-oom')
register('dispose', dispose)
register('release', release)
register('trim', trim, 'allow-oom')
register('status', status, 'no-writes', 'allow-stale')
register('publish', publish, 'allow-oom')
