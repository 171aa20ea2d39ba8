// tfjs-node 4.22.0 calls util.isArray and util.isNullOrUndefined, of which Node 22 warns and which Node 23 removed. They are
// put back wherever it is loaded. A release after 4.22.0 makes this file needless: its source no longer calls them.
import util from 'node:util';

util.isArray = Array.isArray;
util.isNullOrUndefined = (value) => value == null;
