-- All operations of a key-value store on Redis. The server runs a script atomically: no other command runs
-- between what an operation reads and what it writes.
--
-- All keys are passed in, and share a hash tag, so that a cluster keeps them on one server:
local FORMAT, REVISION, VALUES, META, ORDER, LOG, LEASES, ON, DONE, FORGET = unpack(KEYS)
-- FORMAT    version of this layout
-- REVISION  count of commits
-- VALUES    hash: key -> value
-- META      hash: key -> version and lease, separated by a space
-- ORDER     sorted set of all keys, all with score 0: in the order of their bytes
-- LOG       stream of the keys changed by each commit; the id of an entry is the revision
-- LEASES    sorted set of leases by expiry, in milliseconds of this server's clock
-- ON        sorted set of "lease key", all with score 0: the items attached to each lease
-- DONE      the token of a commit: holds its revision, as long as the commit may be sent again
-- FORGET    the token of an earlier commit, which cannot be sent again

local LOG_SIZE = 4096
-- For each root (the first segment of keys that have several), such as a board: LOG:root is a stream like LOG
-- with the changes of that root only, so that its waiters sleep while others change. Its entries say at which
-- revision the one before was. LASTS has the revision of the last one of each root; and under '', of all.
local LASTS = LOG .. '-lasts'
local ROOT_LOG_SIZE = 1024
-- Milliseconds: far longer than a client retries, and than a stopped server takes to continue.
local TOKEN_TTL = 600000
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

-- Logs the changed keys of each root.
local function log_roots(incremented)
    local lists, roots = {}, {}
    for _, key in ipairs(changed) do
        local root = string.match(key, '^([^/]*)/')
        if root then
            local list = lists[root]
            if not list then
                list = {}
                lists[root] = list
                roots[#roots + 1] = root
            end
            list[#list + 1] = key
        end
    end
    for _, root in ipairs(roots) do
        local before = redis.call('HGET', LASTS, root) or '0'
        local keys = #lists[root] > 500 and '' or table.concat(lists[root], ' ')
        redis.call('XADD', LOG .. ':' .. root, 'MAXLEN', '~', ROOT_LOG_SIZE, incremented .. '-1',
            'keys', keys, 'before', before)
        redis.call('HSET', LASTS, root, incremented)
    end
    redis.call('HSET', LASTS, '', incremented)
end

-- Increments the revision and logs the changed keys; without a change there is no commit.
local function next_revision()
    if #changed == 0 then
        return revision()
    end
    local incremented = revision() + 1
    if incremented == 2 then
        redis.call('SET', FORMAT, '1')
    end
    redis.call('SET', REVISION, text(incremented))
    -- No key contains a space. If there are too many keys, an entry without keys stands for all of them.
    local keys = #changed > 500 and '' or table.concat(changed, ' ')
    redis.call('XADD', LOG, 'MAXLEN', '~', LOG_SIZE, text(incremented) .. '-1', 'keys', keys)
    log_roots(text(incremented))
    changed = {}
    return incremented
end

-- Returns the version and the lease (empty for none) of an item; nil without an item.
local function meta(key)
    local stored = redis.call('HGET', META, key)
    if not stored then
        return nil, ''
    end
    return string.match(stored, '^(%d+) (.*)$')
end

local function detach(key, lease)
    if lease ~= '' then
        redis.call('ZREM', ON, lease .. ' ' .. key)
    end
end

local function delete(key)
    local version, lease = meta(key)
    if version then
        detach(key, lease)
        redis.call('HDEL', VALUES, key)
        redis.call('HDEL', META, key)
        redis.call('ZREM', ORDER, key)
        changed[#changed + 1] = key
    end
end

local function end_lease(lease)
    local attached = redis.call('ZRANGEBYLEX', ON, '[' .. lease .. ' ', '(' .. lease .. ' \127')
    for _, member in ipairs(attached) do
        delete(string.sub(member, #lease + 2))
    end
    redis.call('ZREM', LEASES, lease)
    next_revision()
end

for _, lease in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now)) do
    end_lease(lease)
end

-- Returns for each key the key, the value, and version and lease; in batches, for the size of Lua's stack.
local function items(keys)
    local fields, at = {}, 0
    for first = 1, #keys, 1000 do
        local last = math.min(first + 999, #keys)
        local values = redis.call('HMGET', VALUES, unpack(keys, first, last))
        local metas = redis.call('HMGET', META, unpack(keys, first, last))
        for number = 1, last - first + 1 do
            fields[at + 1], fields[at + 2], fields[at + 3] = keys[first + number - 1], values[number], metas[number]
            at = at + 3
        end
    end
    return fields
end

local operations = {}

function operations.format()
    return {redis.call('GET', FORMAT) or '1'}
end

-- ARGV: keys. A missing item has neither a value nor a version.
function operations.get()
    local keys = {}
    for number = 2, #ARGV do
        keys[number - 1] = ARGV[number]
    end
    return items(keys)
end

-- ARGV: for each list its low and high bounds, limit and order.
function operations.list()
    local lists = {}
    for at = 2, #ARGV, 4 do
        local command, first, last = 'ZRANGEBYLEX', ARGV[at], ARGV[at + 1]
        if ARGV[at + 3] == 'desc' then
            command, first, last = 'ZREVRANGEBYLEX', last, first
        end
        lists[#lists + 1] = items(redis.call(command, ORDER, first, last, 'LIMIT', 0, ARGV[at + 2]))
    end
    return lists
end

-- ARGV: lease, number of checks, puts and deletes; then for each check its key and version, for each put its
-- key, value and lease, for each delete its key.
function operations.commit()
    local applied = redis.call('GET', DONE)
    if applied then
        return {'applied', applied}
    end
    local lease, checks, puts, deletes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
    local at = 6
    for _ = 1, checks do
        local key, required = ARGV[at], ARGV[at + 1]
        local stored = meta(key) or '0'
        if stored ~= required and not (required == '-1' and stored ~= '0') then
            return {'conflict', key, required, stored}
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
        local put = first_put + 3 * number
        local key, value, new_lease = ARGV[put], ARGV[put + 1], ARGV[put + 2]
        local old_version, old_lease = meta(key)
        if old_version then
            detach(key, old_lease)
        else
            redis.call('ZADD', ORDER, 0, key)
        end
        redis.call('HSET', VALUES, key, value)
        redis.call('HSET', META, key, version .. ' ' .. new_lease)
        if new_lease ~= '' then
            redis.call('ZADD', ON, 0, new_lease .. ' ' .. key)
        end
        changed[#changed + 1] = key
    end
    local result = text(next_revision())
    redis.call('SET', DONE, result, 'PX', TOKEN_TTL)
    -- Last, because a server that is out of memory rejects a script only before its first write.
    if FORGET then
        redis.call('DEL', FORGET)
    end
    return {'applied', result}
end

-- ARGV: lease, milliseconds.
function operations.grant()
    redis.call('ZADD', LEASES, now + ARGV[3], ARGV[2])
    return {}
end

-- ARGV: lease, milliseconds. Returns 0 if the lease does not exist.
function operations.extend()
    if not redis.call('ZSCORE', LEASES, ARGV[2]) then
        return {0}
    end
    -- A server at its maxmemory rejects ZADD, although this one takes no memory, unless the script has written
    -- something before: so it removes a lease that does not exist.
    redis.call('ZREM', LEASES, '')
    redis.call('ZADD', LEASES, now + ARGV[3], ARGV[2])
    return {1}
end

-- ARGV: lease.
function operations.revoke()
    end_lease(ARGV[2])
    return {}
end

-- ARGV: root, or nothing for all keys. Returns the revision, the milliseconds until the next lease expires (-1
-- for never), the revision up to which the logs of roots are complete (earlier releases do not write them), and
-- that of the last change of the root.
function operations.status()
    local expiry = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
    local until_expiry = expiry and text(math.max(tonumber(expiry) - now, 1)) or '-1'
    local logged, last = unpack(redis.call('HMGET', LASTS, '', ARGV[2]))
    last = ARGV[2] == '' and text(revision()) or last or '0'
    return {text(revision()), until_expiry, logged or '0', last}
end

return operations[operation]()
