import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OomKills } from '../../src/os/oom-kills.js';

const MiB = 1 << 20;
let root: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'locmoe-oom-'));
});

afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text: string | number): void {
  const full = path.join(root, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, `${text}\n`);
}

const watch = () => new OomKills({ proc: `${root}/proc`, cgroup: `${root}/cgroup` });

describe('kills for lack of memory', () => {
  it('are counted in a cgroup of version 2, with the least limit above it', () => {
    write('proc/self/cgroup', '0::/kubepods/pod/run');
    write(
      'cgroup/kubepods/pod/run/memory.events',
      'low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0',
    );
    write('cgroup/kubepods/pod/run/memory.max', 'max');
    write('cgroup/kubepods/pod/memory.max', 300 * MiB);
    const kills = watch();
    expect([kills.haveRisen, kills.limitBytes]).toEqual([false, 300 * MiB]);
    write('cgroup/kubepods/pod/run/memory.events', 'max 10\noom 3\noom_kill 3');
    expect(kills.haveRisen).toBe(true);
  });

  it('are counted in a cgroup of version 1, beside one of version 2', () => {
    write('proc/self/cgroup', '5:cpu,memory:/docker/a\n0::/docker/a');
    write('cgroup/memory/docker/a/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 0');
    write('cgroup/memory/docker/a/memory.limit_in_bytes', 200 * MiB);
    write('cgroup/memory/memory.limit_in_bytes', '9223372036854771712');
    const kills = watch();
    expect(kills.limitBytes).toBe(200 * MiB);
    write('cgroup/memory/docker/a/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 1');
    expect(kills.haveRisen).toBe(true);
  });

  it('are counted at the root of a container that reads the path of its host', () => {
    write('proc/self/cgroup', '0::/system.slice/docker-a.scope');
    write('cgroup/memory.events', 'oom_kill 0');
    write('cgroup/memory.max', 100 * MiB);
    const kills = watch();
    write('cgroup/memory.events', 'oom_kill 1');
    expect([kills.haveRisen, kills.limitBytes]).toEqual([true, 100 * MiB]);
  });

  it('are those of the machine where there is no other cgroup', () => {
    write('proc/self/cgroup', '0::/');
    write('proc/vmstat', 'oom_kill 4\nother 5');
    const kills = watch();
    expect([kills.haveRisen, kills.limitBytes]).toEqual([false, totalmem()]);
    write('proc/vmstat', 'oom_kill 5\nother 5');
    expect(kills.haveRisen).toBe(true);
  });

  it('explain a death within two looks of them, and none long after', () => {
    write('proc/vmstat', 'oom_kill 4');
    const kills = watch();
    expect(kills.explain('50 MiB when last looked at')).toBe('');
    write('proc/vmstat', 'oom_kill 5');
    kills.look();
    expect(kills.explain('50 MiB when last looked at')).toMatch(
      /^, probably out of memory: it held 50 MiB .* may hold \d+ MiB together/,
    );
    kills.look();
    expect(kills.explain('50 MiB when last looked at')).toBe('');
  });

  it('are none where the kernel shows nothing', () => {
    expect([watch().explain(''), watch().limitBytes]).toEqual(['', totalmem()]);
  });
});
