import { describe, expect, it } from 'vitest';
import { timeoutsOf } from '../../src/config/timeouts.js';
import { Membership } from '../../src/coordinator/membership.js';
import { VERSION } from '../../src/rpc/version.js';

const request = (host: string) => ({ host, pid: 7, dataAddress: `${host}:50052`, version: VERSION });
const link = (closed: string[] = [], name = '') => ({
  send: () => undefined,
  close: () => closed.push(name),
});

describe('the nodes of a run', () => {
  it('get ids in the order of joining, and a freed place goes to the next', () => {
    const members = new Membership('r', 2, timeoutsOf({ collectiveTimeoutS: 10 }));
    const closed: string[] = [];
    expect(members.join(request('a')).node).toBe(0);
    expect(members.join(request('b')).node).toBe(1);
    members.connect(0, 'a:50052', link(closed, 'a'));
    expect(() => members.join(request('c'))).toThrow(/already has its 2 nodes; c \(pid 7\) is one too many/);
    members.remove(0);
    expect(closed).toEqual(['a']);
    expect(members.join(request('c')).node).toBe(0);
    expect(members.peers.map(({ host }) => host)).toEqual(['c', 'b']);
  });

  it('that lost their place cannot take the session of its next owner', () => {
    const members = new Membership('r', 1, timeoutsOf({ collectiveTimeoutS: 10 }));
    members.join(request('a'));
    members.remove(0);
    members.join(request('b'));
    expect(() => members.connect(0, 'a:50052', link())).toThrow(/node 0 was replaced by another node agent/);
    members.connect(0, 'b:50052', link());
    expect(members.allAre('connected')).toBe(true);
  });

  it('are told by name, with how many are missing', () => {
    const members = new Membership('r', 3, timeoutsOf({ collectiveTimeoutS: 10 }));
    expect(members.describe()).toBe('0 of 3 nodes are here, 3 are missing');
    for (const host of ['a', 'b']) {
      const { node } = members.join(request(host));
      members.connect(node, `${host}:50052`, link());
    }
    expect(members.describe()).toBe('2 of 3 nodes are here (node 0 from a, node 1 from b), 1 is missing');
  });
});
