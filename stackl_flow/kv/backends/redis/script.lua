-- A place of items in Redis. All that is done to it is done by this one script, so that each verb is one step
-- of the server: nothing can come between its reading and its writing.
--
-- All keys are given, and share a hash tag, so that a cluster keeps them together:
local FORMAT, REVISION, VALUES, META, ORDER, LOG, LEASES, ON, DONE, FORGET = unpack(KEYS)
-- FORMAT    of all this
-- REVISION  count of commits
-- VALUES    hash: key -> value
-- META      hash: key -> version and lease, with a space between
-- ORDER     sorted set of all keys, all with score 0: in the order of their bytes
-- LOG       stream of the keys changed by each commit; an entry's id is the count
-- LEASES    sorted set of leases by the time they run out, in milliseconds of this server's clock
-- ON        sorted set of "lease key", all with score 0: what stands on a lease
-- DONE      a commit's token: holds the count that it got, for as long as the commit may come a second time
-- FORGET    the token of an earlier commit, which will not come again

local REMEMBERED = 4096
-- Milliseconds: far longer than a client waits for an answer, and a stopped server for its going on.
local TWICE_WITHIN = 600000
local operation = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local changed = {}

local function text(number)
    return string.format('%.0f', number)
end

local function revision()
    return tonumber(redis.call('GET', REVISION) or '1')
end

-- Raises the count and notes what changed; without a change there is no commit.
local function count()
    if #changed == 0 then
        return revision()
    end
    local raised = revision() + 1
    if raised == 2 then
        redis.call('SET', FORMAT, '1')
    end
    redis.call('SET', REVISION, text(raised))
    -- No key has a space in it. Where there are too many to be named, an entry without keys stands for all.
    local keys = #changed > 500 and '' or table.concat(changed, ' ')
    redis.call('XADD', LOG, 'MAXLEN', '~', REMEMBERED, text(raised) .. '-1', 'keys', keys)
    changed = {}
    return raised
end

-- Takes an item's version and its lease (empty for none) apart; nothing if there is no such item.
local function meta(key)
    local found = redis.call('HGET', META, key)
    if not found then
        return nil, ''
    end
    return string.match(found, '^(%d+) (.*)$')
end

local function leave(key, lease)
    if lease ~= '' then
        redis.call('ZREM', ON, lease .. ' ' .. key)
    end
end

local function delete(key)
    local version, lease = meta(key)
    if version then
        leave(key, lease)
        redis.call('HDEL', VALUES, key)
        redis.call('HDEL', META, key)
        redis.call('ZREM', ORDER, key)
        changed[#changed + 1] = key
    end
end

local function finish(lease)
    local on = redis.call('ZRANGEBYLEX', ON, '[' .. lease .. ' ', '(' .. lease .. ' \127')
    for _, member in ipairs(on) do
        delete(string.sub(member, #lease + 2))
    end
    redis.call('ZREM', LEASES, lease)
    count()
end

for _, lease in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now)) do
    finish(lease)
end

-- Gives for each key the key, the value, and version and lease; so many at once as Lua's stack takes.
local function items(keys)
    local found, at = {}, 0
    for first = 1, #keys, 1000 do
        local last = math.min(first + 999, #keys)
        local values = redis.call('HMGET', VALUES, unpack(keys, first, last))
        local metas = redis.call('HMGET', META, unpack(keys, first, last))
        for number = 1, last - first + 1 do
            found[at + 1], found[at + 2], found[at + 3] = keys[first + number - 1], values[number], metas[number]
            at = at + 3
        end
    end
    return found
end

local operations = {}

function operations.format()
    return {redis.call('GET', FORMAT) or '1'}
end

-- keys; an item that is not there has neither value nor version
function operations.get()
    local keys = {}
    for number = 2, #ARGV do
        keys[number - 1] = ARGV[number]
    end
    return items(keys)
end

-- low, high, limit, direction; and so on for each list
function operations.list()
    local found = {}
    for at = 2, #ARGV, 4 do
        local command, first, last = 'ZRANGEBYLEX', ARGV[at], ARGV[at + 1]
        if ARGV[at + 3] == 'back' then
            command, first, last = 'ZREVRANGEBYLEX', last, first
        end
        found[#found + 1] = items(redis.call(command, ORDER, first, last, 'LIMIT', 0, ARGV[at + 2]))
    end
    return found
end

-- lease, number of checks, puts and deletes; then for each check its key and version, for each put its
-- key, value and lease, for each deletion its key
function operations.commit()
    local landed = redis.call('GET', DONE)
    if landed then
        return {'landed', landed}
    end
    local lease, checks, puts, deletes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
    local at = 6
    for _ = 1, checks do
        local key, wanted = ARGV[at], ARGV[at + 1]
        local found = meta(key) or '0'
        if found ~= wanted and not (wanted == '-1' and found ~= '0') then
            return {'conflict', key, wanted, found}
        end
        at = at + 2
    end
    if lease ~= '' and not redis.call('ZSCORE', LEASES, lease) then
        return {'lost', lease}
    end
    local first_put = at
    at = at + 3 * puts
    for number = 0, deletes - 1 do
        delete(ARGV[at + number])
    end
    local version = text(revision() + 1)
    for number = 0, puts - 1 do
        local place = first_put + 3 * number
        local key, value, on = ARGV[place], ARGV[place + 1], ARGV[place + 2]
        local old, left = meta(key)
        if old then
            leave(key, left)
        else
            redis.call('ZADD', ORDER, 0, key)
        end
        redis.call('HSET', VALUES, key, value)
        redis.call('HSET', META, key, version .. ' ' .. on)
        if on ~= '' then
            redis.call('ZADD', ON, 0, on .. ' ' .. key)
        end
        changed[#changed + 1] = key
    end
    local raised = text(count())
    redis.call('SET', DONE, raised, 'PX', TWICE_WITHIN)
    -- Last, because a server that is full refuses a script only before its first write.
    if FORGET then
        redis.call('DEL', FORGET)
    end
    return {'landed', raised}
end

-- lease, milliseconds
function operations.grant()
    redis.call('ZADD', LEASES, now + ARGV[3], ARGV[2])
    return {}
end

-- lease, milliseconds
function operations.extend()
    if not redis.call('ZSCORE', LEASES, ARGV[2]) then
        return {0}
    end
    redis.call('ZADD', LEASES, now + ARGV[3], ARGV[2])
    return {1}
end

-- lease
function operations.revoke()
    finish(ARGV[2])
    return {}
end

-- Tells the count, and in how many milliseconds the next lease runs out (-1 for never).
function operations.look()
    local next_end = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
    return {text(revision()), next_end and text(math.max(tonumber(next_end) - now, 1)) or '-1'}
end

return operations[operation]()
