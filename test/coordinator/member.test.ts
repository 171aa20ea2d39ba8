import { expect, it } from 'vitest';
import { Member, type MemberStatus } from '../../src/coordinator/member.js';
import { VERSION } from '../../src/rpc/version.js';

/** Returns a member after these statuses. */
function memberAfter(...statuses: MemberStatus[]): Member {
  const member = new Member(3, { host: 'a', pid: 7, dataAddress: 'a:1', version: VERSION });
  for (const status of statuses) member.become(status);
  return member;
}

const WAYS: readonly (readonly MemberStatus[])[] = [
  [],
  ['connected'],
  ['connected', 'ready'],
  ['connected', 'ready', 'finished'],
  ['connected', 'left'],
  ['lost'],
];
const STATUSES: readonly MemberStatus[] = ['joined', 'connected', 'ready', 'finished', 'left', 'lost'];

it('a member goes from one status to the next by this table', () => {
  const table = WAYS.map((way) => {
    const next = STATUSES.filter((status) => {
      try {
        memberAfter(...way).become(status);
        return true;
      } catch {
        return false;
      }
    });
    return [memberAfter(...way).status, ...next];
  });
  expect(table).toEqual([
    ['joined', 'connected', 'lost'],
    ['connected', 'ready', 'left', 'lost'],
    ['ready', 'finished', 'left', 'lost'],
    ['finished'],
    ['left'],
    ['lost', 'finished', 'left'],
  ]);
});

it('a step that cannot be is refused with the node and both statuses, and changes nothing', () => {
  const member = memberAfter('connected', 'ready', 'finished');
  expect(() => member.become('lost')).toThrow(/^node 3 cannot become lost: it is finished$/);
  expect(member.status).toBe('finished');
});
