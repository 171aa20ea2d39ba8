// tfjs-node 4.22.0 calls util.isArray and util.isNullOrUndefined, which Node 22 deprecates and Node 23 lacks. This
// module restores them and is loaded before tfjs-node. The source of later releases no longer calls them.
import util from 'node:util';

util.isArray = Array.isArray;
util.isNullOrUndefined = (value) => value == null;
