-- The function library. functions.py puts a head before it that names the library and sets VERSION
-- and FORMAT. Libraries of several versions stand side by side and share all keys; a daemon calls the
-- functions of its own version only.
--
-- Everything meterd changes in Redis goes through these functions. Nothing in Redis rolls back,
-- so each of them checks first and writes last. Numbers that matter are strings: Lua's are
-- doubles. Keys are built from the partition's prefix; they all share its hash tag.

local SUPERVISOR = 'supervisor'

-- By partition (its prefix), the instance whose state a leader has verified, as this server process has
-- seen it. The variable is gone when the process ends and is not replicated: after a restart or a
-- failover nobody may write before a daemon has compared what is here with what PostgreSQL knows.
-- Each library has its own: the first leader of another version compares again, which is always safe.
local verified = {}

-- By partition, the last epoch that was issued through this library. If there is a later one, a leader
-- of another version has worked since, and may have had reason to doubt what was verified here.
local issued = {}

local function prefix_of(commands_key)
  return string.sub(commands_key, 1, -9) -- 'commands' has 8 letters
end

local function is_verified(prefix)
  return verified[prefix] ~= nil and redis.call('GET', prefix .. 'memory') == verified[prefix]
end

local function led_last(prefix)
  return redis.call('GET', prefix .. 'epoch') == issued[prefix]
end

local function next_epoch(prefix)
  issued[prefix] = tostring(redis.call('INCR', prefix .. 'epoch'))
  return issued[prefix]
end

local function allowed(prefix, actor, epoch)
  if not is_verified(prefix) then return false end -- guard: verified
  return redis.call('HGET', prefix .. 'epochs', actor) == epoch -- guard: epoch
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Acquire the lease: become the leader, or learn for how long another one still leads.
-- A new leader takes every older actor's right to write. It may work at once if this server
-- process has lost nothing since a leader of this version verified its state, and none of another
-- version has led since; else it has to verify first. What a newer version has written in a newer
-- format can't be led.
local function acquire_lease(keys, args)
  local prefix, token, lease_ms = prefix_of(keys[1]), args[1], args[2]
  local format = tonumber(redis.call('GET', prefix .. 'format') or 1)
  if format > FORMAT then return {'newer', tostring(format)} end
  local holder = redis.call('GET', prefix .. 'leader')
  if holder and holder ~= token then
    return {'held', tostring(redis.call('PTTL', prefix .. 'leader'))}
  end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  if format < FORMAT then redis.call('SET', prefix .. 'format', FORMAT) end
  if not led_last(prefix) then verified[prefix] = nil end
  local epoch = next_epoch(prefix)
  redis.call('DEL', prefix .. 'epochs')
  redis.call('HSET', prefix .. 'epochs', SUPERVISOR, epoch)
  return {'leading', epoch, is_verified(prefix) and 'verified' or 'unverified'}
end

-- Confirm the integrity: the leader has compared what is here with what PostgreSQL knows, and
-- nothing is missing.
local function confirm_integrity(keys, args)
  local prefix, token, epoch, instance = prefix_of(keys[1]), args[1], args[2], args[3]
  if redis.call('GET', prefix .. 'leader') ~= token then return 0 end
  if redis.call('HGET', prefix .. 'epochs', SUPERVISOR) ~= epoch then return 0 end
  local held = redis.call('GET', prefix .. 'memory')
  if held and held ~= instance then return 0 end
  redis.call('SET', prefix .. 'memory', instance)
  verified[prefix] = instance
  return 1
end

-- Renew the lease; returns 0 if this daemon leads no more, 2 if it has yet to verify the state.
local function renew_lease(keys, args)
  local prefix, token, epoch, lease_ms = prefix_of(keys[1]), args[1], args[2], args[3]
  if redis.call('HGET', prefix .. 'epochs', SUPERVISOR) ~= epoch then return 0 end
  local holder = redis.call('GET', prefix .. 'leader')
  if holder and holder ~= token then return 0 end
  redis.call('SET', prefix .. 'leader', token, 'PX', lease_ms)
  return is_verified(prefix) and 1 or 2
end

-- Resign: leave without making the next one wait for the lease.
local function resign(keys, args)
  local prefix, token = prefix_of(keys[1]), args[1]
  if redis.call('GET', prefix .. 'leader') ~= token then return 0 end
  redis.call('DEL', prefix .. 'leader', prefix .. 'epochs')
  return 1
end

-- Issue an epoch to an actor; an older holder of the name can't write any more.
local function issue_epoch(keys, args)
  local prefix, leader_epoch, actor = prefix_of(keys[1]), args[1], args[2]
  if not allowed(prefix, SUPERVISOR, leader_epoch) then return false end
  local epoch = next_epoch(prefix)
  redis.call('HSET', prefix .. 'epochs', actor, epoch)
  return epoch
end

-- A map out of the flat list that XINFO gives.
local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

local function ms_of(entry) return tonumber(string.match(entry, '^(%d+)-')) end

-- How far the reading is: how many entries the stream had been given when all of them had been read
-- ('added'), how many have been read since ('delivered'), and what went wrong, ever.
local function forget_progress(prefix)
  redis.call('HDEL', prefix .. 'progress', 'added', 'delivered')
end

-- Make the group again, at the beginning: it was destroyed, or the stream was deleted. What had its
-- effect already is read again, and has no second one.
local function recreate_group(prefix, commands)
  redis.call('XGROUP', 'CREATE', commands, 'meterd', '0', 'MKSTREAM')
  forget_progress(prefix)
  redis.call('HINCRBY', prefix .. 'progress', 'recreated', 1)
end

-- Take what other consumers of the group have read and not acknowledged; returns how many entries.
-- What they have read is older than all that the group has yet to deliver.
local CLAIM_MAX = 1000
local function claim_strangers(prefix, commands, consumers)
  local claimed = 0
  for _, consumer in ipairs(consumers) do
    local name = consumer[1]
    while name ~= 'meterd' and claimed < CLAIM_MAX do
      local found = redis.call('XPENDING', commands, 'meterd', '-', '+', CLAIM_MAX, name)
      if #found == 0 then break end
      local call = {'XCLAIM', commands, 'meterd', 'meterd', 0}
      for _, pending in ipairs(found) do call[#call + 1] = pending[1] end
      call[#call + 1] = 'JUSTID'
      redis.call(unpack(call))
      claimed = claimed + #found
    end
  end
  if claimed > 0 then redis.call('HINCRBY', prefix .. 'progress', 'claimed', claimed) end
  return claimed
end

-- Count what was taken out of the stream before anybody had read it. Called when the group has been
-- given everything: then as many entries were read as were added, or some are missing.
local function count_missing(prefix, commands)
  local progress = prefix .. 'progress'
  local added = map_of(redis.call('XINFO', 'STREAM', commands))['entries-added']
  local before = redis.call('HMGET', progress, 'added', 'delivered')
  if before[1] == tostring(added) and not before[2] then return 0 end
  local missing = 0
  if before[1] then missing = math.max(0, added - tonumber(before[1]) - tonumber(before[2] or 0)) end
  redis.call('HSET', progress, 'added', tostring(added))
  redis.call('HDEL', progress, 'delivered')
  if missing > 0 then redis.call('HINCRBY', progress, 'missing', missing) end
  return missing
end

-- The place of the first entry whose ID is further ahead of the server's clock than it may be; nil
-- if there is none. Later entries have later IDs, so mostly the last one decides.
local function first_ahead(prefix, entries, ahead_ms_max)
  if #entries == 0 then return nil end
  local accepted = tonumber(redis.call('GET', prefix .. 'clock:accepted') or 0)
  local limit = math.max(now_ms(), accepted) + ahead_ms_max
  if ms_of(entries[#entries][1]) <= limit then return nil end
  for i, entry in ipairs(entries) do
    if ms_of(entry[1]) > limit then return i end
  end
end

-- Hold everything because of an entry from the future, which everything after it would be billed by.
local function hold_ahead(prefix, entry)
  redis.call('SET', prefix .. 'hold', cjson.encode({
    entry = entry, ahead_ms = ms_of(entry) - now_ms(), queue_ms = now_ms()}), 'NX')
end

-- Read commands: new ones (after = '>') or those delivered and not acknowledged, with the queue's
-- clock and what was found wrong. Only the leader can; otherwise a daemon that was declared dead
-- could swallow entries out of their order.
local function read(keys, args)
  local prefix, epoch, after, count = prefix_of(keys[1]), args[1], args[2], tonumber(args[3])
  local ahead_ms_max = tonumber(args[4])
  if not allowed(prefix, SUPERVISOR, epoch) then return redis.error_reply('FENCED not leading') end
  local waiting = redis.pcall('XPENDING', keys[1], 'meterd')
  if waiting.err then
    recreate_group(prefix, keys[1])
    return {tostring(now_ms()), {}, 'recreated', 1}
  end
  local claimed = claim_strangers(prefix, keys[1], waiting[4] or {})
  if claimed > 0 then return {tostring(now_ms()), {}, 'claimed', claimed} end
  local got = redis.call('XREADGROUP', 'GROUP', 'meterd', 'meterd', 'COUNT', count,
    'STREAMS', keys[1], after)
  local entries = got and got[1] and got[1][2] or {}
  if after == '>' then
    if #entries > 0 then
      redis.call('HINCRBY', prefix .. 'progress', 'delivered', #entries)
    else
      local missing = count_missing(prefix, keys[1])
      if missing > 0 then return {tostring(now_ms()), {}, 'missing', missing} end
    end
  end
  local ahead = first_ahead(prefix, entries, ahead_ms_max)
  if not ahead then return {tostring(now_ms()), entries, '', 0} end
  hold_ahead(prefix, entries[ahead][1])
  local before = {}
  for i = 1, ahead - 1 do before[i] = entries[i] end
  return {tostring(now_ms()), before, 'ahead', #entries - ahead + 1}
end

-- Whether an entry was read and not acknowledged. If the group is gone, nothing is: it is made again
-- by the next read, and then all entries are read again.
local function is_pending(commands, entry)
  local found = redis.pcall('XPENDING', commands, 'meterd', entry, entry, 1)
  return not found.err and #found > 0
end

-- Return, of entries that their account seems to be past, whether they have had their effect: 'done' if
-- nothing waits for it any more or it has just been acknowledged, 'skipped' if it never had one.
local function late(keys, args)
  local prefix, results = prefix_of(keys[1]), {}
  if not allowed(prefix, args[1], args[2]) then return false end
  for i = 3, #args, 2 do
    local entry, id, result = args[i], args[i + 1], 'done'
    if is_pending(keys[1], entry) then
      -- Without an id it is a settle, which changes nothing; a used id has no second effect.
      if id == '' or redis.call('EXISTS', prefix .. 'id:' .. id) == 1 then
        redis.call('XACK', keys[1], 'meterd', entry)
      else
        result = 'skipped'
      end
    end
    results[#results + 1] = result
  end
  return results
end

-- A commit comes as an array: the places of its parts, and of the parts of its entries.
local USER, BEFORE, STATE, OPEN, WALLET, CHATS, ENTRIES, EVENTS, PAYLOAD, ASIDE =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local ENTRY, ID, REMEMBER, REPLY_TO, REPLY, DEAD, ID_TTL_MS = 1, 2, 3, 4, 5, 6, 7

local FENCED, STALE, DONE, OK = {'fenced'}, {'stale'}, {'done'}, {'ok'}

-- Values that go into one command at most; Lua can't pass many more.
local TOGETHER_MAX = 4000

-- What has been used already: ids, each followed by what is remembered of it; nil if nothing has.
local function known_ids(batch, entries)
  local known = {'known'}
  for _, entry in ipairs(entries) do
    if entry[REMEMBER] ~= '' then
      local seen = redis.call('GET', batch.prefix .. 'id:' .. entry[ID])
      if seen then
        known[#known + 1] = entry[ID]
        known[#known + 1] = seen
      end
    end
  end
  return #known > 1 and known or nil
end

local function account_guards(batch, user, before)
  if batch.taken[user] then return STALE end
  local head = redis.call('GETRANGE', batch.prefix .. 'account:' .. user, 0, 63)
  if (string.match(head, '^([^|]*)|') or '') ~= before then return STALE end -- guard: stale
  return nil
end

-- Without an account there is no version to detect a second delivery by: the pending list does.
local function nobody_guards(batch, entry)
  if not is_pending(batch.commands, entry) then
    return DONE -- guard: done
  end
  return nil
end

-- A commit before this one in the same call may have taken what this one takes for free: then it
-- is to be decided again.
local function taken_guards(batch, c)
  for _, entry in ipairs(c[ENTRIES]) do
    if entry[REMEMBER] ~= '' and batch.taken_ids[entry[ID]] then return STALE end
  end
  for _, chat in ipairs(c[CHATS]) do
    if chat[3] then
      if batch.taken_chats[chat[1]] then return STALE end
      if redis.call('EXISTS', batch.prefix .. 'chat:' .. chat[1]) == 1 then
        return {'exists', chat[1]} -- guard: exists
      end
    end
  end
  return nil
end

local function commit_guards(batch, c)
  local refusal
  if c[USER] ~= '' then
    refusal = account_guards(batch, c[USER], c[BEFORE])
  else
    refusal = nobody_guards(batch, c[ENTRIES][1][ENTRY])
  end
  if refusal then return refusal end
  local known = known_ids(batch, c[ENTRIES])
  if known then return known end -- guard: known
  return taken_guards(batch, c)
end

-- What the commits of a call are to write: lists that each appends to. What is taken is noted last.
local LISTS = {'acks', 'sets', 'opened', 'closed', 'ids', 'replies', 'events', 'payloads', 'dead'}
local function new_batch(commands, limits)
  local batch = {
    prefix = prefix_of(commands), commands = commands, limits = limits,
    taken = {}, taken_ids = {}, taken_chats = {}, remembered = {},
  }
  for _, name in ipairs(LISTS) do batch[name] = {} end
  return batch
end

-- How long the lists are, and the batch without what was appended since: of a commit whose planning
-- fails nothing is left.
local function lengths(batch)
  local marks = {}
  for i, name in ipairs(LISTS) do marks[i] = #batch[name] end
  return marks
end

local function cut_back(batch, marks)
  for i, name in ipairs(LISTS) do
    local list = batch[name]
    for place = #list, marks[i] + 1, -1 do list[place] = nil end
  end
end

local function add(list, value) list[#list + 1] = assert(value, 'a part is missing') end

-- Names and values of an entry of a stream, which are written later.
local function add_fields(list, fields)
  assert(type(fields) == 'table', 'fields are no list')
  list[#list + 1] = fields
end

local function set(batch, key, value)
  add(batch.sets, key)
  add(batch.sets, value)
end

local function plan_account(batch, c)
  local user, account = c[USER], batch.prefix .. 'account:' .. c[USER]
  if c[ASIDE] ~= '' then
    -- Nobody could decide: the account stays as it is, whatever it is, but goes past the entry.
    local kept = redis.call('GET', account)
    local state = string.match(kept or '', '^[^|]*(|.*)$')
    set(batch, account, state and c[ASIDE] .. state or c[STATE])
    return
  end
  set(batch, account, c[STATE])
  add(c[OPEN] > 0 and batch.opened or batch.closed, user)
  if c[WALLET] ~= '' then set(batch, batch.prefix .. 'wallet:' .. user, c[WALLET]) end
end

-- The number that a call gives; 0 if the user may not make it, as under users of an earlier version: a
-- bound that can't be looked at must not keep commands from having their effect.
local function number_of(...)
  local found = redis.pcall(...)
  return type(found) == 'number' and found or 0
end

-- Look at reply streams whose time was up if nothing had been written to them since: what has expired
-- counts no more, the others have a new time.
local SWEPT_MAX = 1000
local function sweep_replies(prefix)
  local streams = prefix .. 'replies'
  local due = redis.pcall('ZRANGEBYSCORE', streams, '-inf', now_ms(), 'LIMIT', 0, SWEPT_MAX)
  if due.err then return end
  for _, name in ipairs(due) do
    local left_ms = redis.call('PTTL', prefix .. 'reply:' .. name)
    if left_ms > 0 then
      redis.call('ZADD', streams, now_ms() + left_ms, name)
    else
      redis.call('ZREM', streams, name)
    end
  end
end

-- How many reply streams may still be made.
local function reply_streams_left(batch)
  local streams, most = batch.prefix .. 'replies', batch.limits.reply_streams_max
  if number_of('ZCARD', streams) >= most then sweep_replies(batch.prefix) end
  return most - number_of('ZCARD', streams)
end

-- How many ids are remembered: by prefix and by the hour from which on none of them is remembered any
-- more, since they were written down last. A call for each commit would cost more than it is worth; a
-- server that is restarted forgets those of the last second.
local HOUR_MS = 3600000
local counted_ids = {}
local function count_ids(batch)
  local hours = counted_ids[batch.prefix] or {}
  for ttl_ms, number in pairs(batch.remembered) do
    local hour = math.floor((now_ms() + ttl_ms) / HOUR_MS) + 1
    hours[hour] = (hours[hour] or 0) + number
  end
  counted_ids[batch.prefix] = hours
end

local function write_down_ids(prefix)
  for hour, number in pairs(counted_ids[prefix] or {}) do
    redis.call('HINCRBY', prefix .. 'ids', string.format('%d', hour), number)
  end
  counted_ids[prefix] = nil
end

local function plan_entry(batch, entry)
  add(batch.acks, entry[ENTRY])
  if entry[REMEMBER] ~= '' then
    add(batch.ids, batch.prefix .. 'id:' .. entry[ID])
    add(batch.ids, entry[REMEMBER])
    add(batch.ids, entry[ID_TTL_MS])
  end
  if entry[REPLY_TO] ~= '' then
    add(batch.replies, entry[REPLY_TO])
    add_fields(batch.replies, entry[REPLY])
  end
  if #entry[DEAD] > 0 then add_fields(batch.dead, entry[DEAD]) end
end

-- Note what a commit takes, for those after it: nothing here can fail.
local function take(batch, c)
  if c[USER] ~= '' then batch.taken[c[USER]] = true end
  for _, chat in ipairs(c[CHATS]) do batch.taken_chats[chat[1]] = true end
  for _, entry in ipairs(c[ENTRIES]) do
    if entry[REMEMBER] ~= '' then
      local ttl_ms = entry[ID_TTL_MS]
      batch.taken_ids[entry[ID]] = true
      batch.remembered[ttl_ms] = (batch.remembered[ttl_ms] or 0) + 1
    end
  end
end

-- What one commit is to write, once all that stands against it has been looked for.
local function plan_commit(batch, packed)
  local c = cmsgpack.unpack(packed)
  local refusal = commit_guards(batch, c)
  if refusal then return refusal end
  if c[USER] ~= '' then plan_account(batch, c) end
  for _, chat in ipairs(c[CHATS]) do set(batch, batch.prefix .. 'chat:' .. chat[1], chat[2]) end
  for _, entry in ipairs(c[ENTRIES]) do plan_entry(batch, entry) end
  for _, event in ipairs(c[EVENTS]) do add_fields(batch.events, event) end
  add(batch.payloads, c[PAYLOAD])
  take(batch, c)
  return OK
end

local function together(head, values)
  for first = 1, #values, TOGETHER_MAX do
    local call = {unpack(head)}
    for i = first, math.min(first + TOGETHER_MAX - 1, #values) do call[#call + 1] = values[i] end
    redis.call(unpack(call))
  end
end

-- Add dead letters, and keep them within their bounds: the oldest go, and are counted. They have had
-- their answer and are in the journal.
local function write_dead(batch)
  local dead, limits = batch.prefix .. 'dead', batch.limits
  local length = redis.call('XLEN', dead) + #batch.dead
  for _, letter in ipairs(batch.dead) do
    redis.call('XADD', dead, 'MAXLEN', '~', limits.dead_entries_max, '*', unpack(letter))
  end
  local kept = redis.call('XLEN', dead)
  local bytes_max = limits.dead_bytes_max
  while kept > 1 and number_of('MEMORY', 'USAGE', dead) > bytes_max do
    redis.call('XTRIM', dead, 'MAXLEN', math.floor(kept * 9 / 10))
    kept = redis.call('XLEN', dead)
  end
  if kept < length then
    redis.call('HINCRBY', batch.prefix .. 'progress', 'dead_dropped', length - kept)
  end
end

-- Write a reply: to its stream if that is there, else to a new one if there may be one more. Else the
-- outcome is remembered with the id, and who repeats the command where there is a stream gets it. A key
-- that is no stream can't have replies: nothing else fails.
local function write_reply(batch, name, fields)
  local prefix, entries_max = batch.prefix, batch.limits.reply_entries_max
  local reply = prefix .. 'reply:' .. name
  local found = redis.pcall('XADD', reply, 'NOMKSTREAM', 'MAXLEN', '~', entries_max, '*', unpack(fields))
  if found then return end
  batch.streams_left = batch.streams_left or reply_streams_left(batch)
  if batch.streams_left <= 0 then
    redis.call('HINCRBY', prefix .. 'progress', 'unanswered', 1)
    return
  end
  batch.streams_left = batch.streams_left - 1
  redis.pcall('XADD', reply, 'MAXLEN', '~', entries_max, '*', unpack(fields))
  redis.pcall('ZADD', prefix .. 'replies', now_ms() + batch.limits.reply_ttl_ms, name)
end

local function write_replies(batch)
  local replies, written = batch.replies, {}
  for i = 1, #replies, 2 do
    written[replies[i]] = true
    write_reply(batch, replies[i], replies[i + 1])
  end
  for name in pairs(written) do
    redis.call('PEXPIRE', batch.prefix .. 'reply:' .. name, batch.limits.reply_ttl_ms)
  end
end

local function write(batch)
  local prefix, ids = batch.prefix, batch.ids
  together({'XACK', batch.commands, 'meterd'}, batch.acks)
  together({'MSET'}, batch.sets)
  together({'SADD', prefix .. 'open'}, batch.opened)
  together({'SREM', prefix .. 'open'}, batch.closed)
  for i = 1, #ids, 3 do redis.call('SET', ids[i], ids[i + 1], 'PX', ids[i + 2]) end
  for _, event in ipairs(batch.events) do
    redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', batch.limits.event_entries_max, '*',
      unpack(event))
  end
  for _, payload in ipairs(batch.payloads) do
    redis.call('XADD', prefix .. 'outbox', '*', 'facts', payload)
  end
  write_replies(batch)
  if #batch.dead > 0 then write_dead(batch) end
  count_ids(batch)
end

local function why(err) return tostring(type(err) == 'table' and err.err or err) end

-- Commit: what follows from runs of commands, each of one account (or one entry without an
-- account). Of every run all or nothing: acknowledgements, state, snapshots, ids, replies, events,
-- and the outbox entry that Postgres gets. Each has its own result; they share a round trip, the
-- fence, and what Redis can write together. Nothing is written before all have been looked at.
local function commit_all(keys, args)
  local prefix, results = prefix_of(keys[1]), {}
  local is_allowed = allowed(prefix, args[1], args[2])
  local batch = new_batch(keys[1], cmsgpack.unpack(args[3]))
  for i = 4, #args do
    local is_planned, result, marks = true, FENCED, nil
    if is_allowed then
      marks = lengths(batch)
      is_planned, result = pcall(plan_commit, batch, args[i])
    end
    if not is_planned then cut_back(batch, marks) end
    results[i - 3] = is_planned and result or {'error', why(result)}
  end
  write(batch)
  return results
end

-- Settle: something falls due for an account that has not changed since. The entry must be later
-- than the due millisecond by the queue's clock; if it is not yet, returns how long to wait. While an
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

-- Acknowledge outbox entries: PostgreSQL has them. Chats that ended may expire, then the entries
-- go. Only the recorder that has the claim may call this.
local function ack_outbox(keys, args)
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
  together({'XDEL', prefix .. 'outbox'}, d.delivered)
  if #d.delivered > 0 then redis.call('SET', prefix .. 'outbox:delivered', d.delivered[#d.delivered]) end
  return #d.delivered
end

-- Doubt: PostgreSQL knows less than it did. Nobody may write before both have been compared.
local function doubt(keys, args)
  local prefix = prefix_of(keys[1])
  if not allowed(prefix, args[1], args[2]) then return 0 end
  verified[prefix] = nil
  return 1
end

-- Resolve a dead letter: send its command again (its id forgotten, so that it counts), or drop
-- it. What the operator did goes to Postgres with it.
local function resolve_dead_letter(keys, args)
  local prefix, d = prefix_of(keys[1]), cmsgpack.unpack(args[1])
  if redis.call('XDEL', prefix .. 'dead', d.letter) == 0 then return '' end
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', d.facts)
  if #d.again == 0 then return 'dropped' end
  local key = prefix .. 'id:' .. d.id
  if d.id ~= '' and string.find(redis.call('GET', key) or '', ' internal_error', 1, true) then
    redis.call('DEL', key)
  end
  return redis.call('XADD', keys[1], '*', unpack(d.again))
end

-- Clear the hold: an operator has accepted the clock as it is, with all IDs that there are; due
-- changes and commands go on.
local function clear_hold(keys, args)
  local prefix = prefix_of(keys[1])
  local stream = redis.pcall('XINFO', 'STREAM', keys[1]) -- it may have been deleted
  local last = stream.err and '0-0' or map_of(stream)['last-generated-id']
  if redis.call('DEL', prefix .. 'hold') == 0 then return 0 end
  redis.call('SET', prefix .. 'clock:accepted', tostring(ms_of(last)))
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', args[1])
  return 1
end

-- Entries that wait in the group, up to an ID, with their fields; deleted ones are left out.
local function waiting_until(commands, limit)
  local found, after = {}, '-'
  while true do
    local page = redis.call('XPENDING', commands, 'meterd', after, limit, 1000)
    for _, pending in ipairs(page) do
      local entry = redis.call('XRANGE', commands, pending[1], pending[1])[1]
      if entry then found[#found + 1] = entry end
    end
    if #page < 1000 then return found end
    after = '(' .. page[#page][1]
  end
end

-- Drop an entry from the future that holds everything, and set the stream's clock back: what came
-- behind it is appended again, in its order, with IDs of now. A stream's last ID never goes back, so
-- the stream is created again, with all that has not had its effect. Returns how many came behind;
-- -1 if this entry does not hold, -2 if more wait than can be appended in one go.
local REBUILT_MAX = 500000
local function drop_ahead(keys, args)
  local prefix, commands = prefix_of(keys[1]), keys[1]
  local entry, ahead_ms_max, facts = args[1], tonumber(args[2]), args[3]
  local hold = redis.call('GET', prefix .. 'hold')
  if not hold or cjson.decode(hold).entry ~= entry then return -1 end
  local last_ms = string.format('%.0f', now_ms() + ahead_ms_max)
  local limit = last_ms .. '-18446744073709551615'
  local later = redis.call('XRANGE', commands, '(' .. limit, '+', 'COUNT', REBUILT_MAX)
  if #later == REBUILT_MAX then return -2 end
  local waiting, behind = waiting_until(commands, limit), {}
  for _, each in ipairs(later) do
    if each[1] ~= entry then behind[#behind + 1] = each end
  end
  local last = redis.call('XREVRANGE', commands, limit, '-', 'COUNT', 1)[1]
  local last_id = string.format('%.0f', now_ms()) .. '-0'
  if last and ms_of(last[1]) >= now_ms() then last_id = last[1] end
  redis.call('DEL', commands)
  redis.call('XGROUP', 'CREATE', commands, 'meterd', '0', 'MKSTREAM')
  for _, each in ipairs(waiting) do redis.call('XADD', commands, each[1], unpack(each[2])) end
  redis.call('XSETID', commands, last_id)
  for _, each in ipairs(behind) do redis.call('XADD', commands, '*', unpack(each[2])) end
  redis.call('DEL', prefix .. 'hold')
  forget_progress(prefix)
  redis.call('XADD', prefix .. 'outbox', '*', 'facts', facts)
  return #behind
end

-- Open accounts: balances and used free time imported from another system, each with the wallet that
-- it makes and the rows that Postgres gets: of the ledger, and of free time. An account that has changed
-- since the caller read it stays as it is; so does one that a command was applied to, since its head is
-- none of these. What is written goes out as one outbox entry, before anything else: it is there, or
-- nothing is.
local ACCOUNT_USER, EXPECTED, OPENED, OPENED_WALLET, LEDGER, FREE_TIMES = 1, 2, 3, 4, 5, 6
local function open_accounts(keys, args)
  local prefix, results, sets, ledger, free_times = prefix_of(keys[1]), {}, {}, {}, {}
  if not (is_verified(prefix) and led_last(prefix)) then
    return redis.error_reply('FENCED state is unverified')
  end
  local taken = {}
  for i, packed in ipairs(args) do
    local o = cmsgpack.unpack(packed)
    local user, account = o[ACCOUNT_USER], prefix .. 'account:' .. o[ACCOUNT_USER]
    local head = redis.call('GETRANGE', account, 0, 63)
    local seen = string.match(head, '^([^|]*)|') or ''
    local is_used = seen ~= '' and not string.match(seen, '^0%-')
    if taken[user] or is_used or seen ~= o[EXPECTED] then -- guard: opened
      results[i] = 'in_use'
    else
      results[i], taken[user] = 'ok', true
      for _, value in ipairs({account, o[OPENED], prefix .. 'wallet:' .. user, o[OPENED_WALLET]}) do
        sets[#sets + 1] = value
      end
      for _, row in ipairs(o[LEDGER]) do add(ledger, row) end
      for _, row in ipairs(o[FREE_TIMES]) do add(free_times, row) end
    end
  end
  if #sets > 0 then
    local facts = '{"records":[],"ledger":[' .. table.concat(ledger, ',') .. '],"journal":[],' ..
      '"free_times":[' .. table.concat(free_times, ',') .. ']}'
    redis.call('XADD', prefix .. 'outbox', '*', 'facts', facts)
    together({'MSET'}, sets)
  end
  return results
end

-- Trim: entries before this one were handled long ago. Only the leader knows which were. What was
-- counted is written down, and reply streams that have expired are not counted any more.
local function trim(keys, args)
  if not allowed(prefix_of(keys[1]), SUPERVISOR, args[1]) then return 0 end
  write_down_ids(prefix_of(keys[1]))
  sweep_replies(prefix_of(keys[1]))
  return redis.call('XTRIM', keys[1], 'MINID', args[2])
end

-- Status: what was published last, unless this server has been restarted since.
local function status(keys, args)
  local prefix = prefix_of(keys[1])
  local published = redis.call('GET', prefix .. 'status')
  if not published then return {'', ''} end
  local working = redis.call('HGET', prefix .. 'epochs', SUPERVISOR)
  return {published, is_verified(prefix) and 'verified' or (working and 'unverified' or 'alone')}
end

-- Publish what runs where; on a full server too, since the status has to show that.
local function publish(keys, args)
  redis.call('SET', prefix_of(keys[1]) .. 'status', args[1], 'PX', args[2])
  return 1
end

-- What holds on to the lead or makes room works on a full server too.
local function register(name, callback, ...)
  local full = 'meterd_' .. VERSION .. '_' .. name
  redis.register_function{function_name = full, callback = callback, flags = {...}}
end

register('acquire_lease', acquire_lease, 'allow-oom')
register('confirm_integrity', confirm_integrity, 'allow-oom')
register('renew_lease', renew_lease, 'allow-oom')
register('resign', resign, 'allow-oom')
register('issue_epoch', issue_epoch)
register('read', read)
register('late', late)
register('commit_all', commit_all)
register('settle', settle)
register('ack_outbox', ack_outbox, 'allow-oom')
register('doubt', doubt, 'allow-oom')
register('resolve_dead_letter', resolve_dead_letter)
register('clear_hold', clear_hold)
register('drop_ahead', drop_ahead)
register('open_accounts', open_accounts)
register('trim', trim, 'allow-oom')
register('status', status, 'no-writes', 'allow-stale')
register('publish', publish, 'allow-oom')
