import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { removeStaleSegments } from '../../src/collectives/segment-files.js';
import {
  controlWord,
  numRings,
  ringByteOffset,
  ringBytesFor,
  ringIndex,
  segmentBytes,
} from '../../src/collectives/shm-layout.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';

const segments: ShmSegment[] = [];

function create(ringBytes = 4096): ShmSegment {
  const shape = { node: 1, numNodes: 2, workersPerNode: 2, ringBytes };
  const segment = ShmSegment.create(`segment-test-${segments.length}`, 3, shape);
  segments.push(segment);
  return segment;
}

afterEach(() => {
  for (const segment of segments.splice(0)) {
    segment.unlink();
    segment.close();
  }
});

describe('layout', () => {
  it.each([
    [1, 1, 0],
    [1, 4, 0],
    [2, 2, 1],
    [3, 2, 1],
    [3, 3, 2],
  ])(
    'gives every pair of ranks of %d x %d on node %d a ring of its own',
    (numNodes, workersPerNode, node) => {
      const shape = { node, numNodes, workersPerNode, ringBytes: 4096 };
      const isLocal = (rank: number) => Math.floor(rank / workersPerNode) === node;
      const indices: number[] = [];
      for (let s = 0; s < numNodes * workersPerNode; s++)
        for (let d = 0; d < numNodes * workersPerNode; d++)
          if (s !== d && (isLocal(s) || isLocal(d))) indices.push(ringIndex(shape, s, d));
      expect(indices.sort((a, b) => a - b)).toEqual(Array.from({ length: numRings(shape) }, (_, i) => i));
      expect(ringByteOffset(shape, numRings(shape))).toBe(segmentBytes(shape));
      expect(ringByteOffset(shape, 0)).toBeGreaterThan(controlWord(workersPerNode + 1) * 4);
    },
  );
});

describe('ringBytesFor', () => {
  it.each([
    [1, 4, 512],
    [2, 1, 2048],
    [2, 2, 2048],
    [3, 2, 1024],
    [8, 8, 512],
  ])('gives %d x %d rings of %d KiB', (numNodes, workersPerNode, kib) => {
    const bytes = ringBytesFor({ numNodes, workersPerNode });
    expect(bytes).toBe(kib << 10);
    expect(bytes === 512 << 10 || numRings({ numNodes, workersPerNode }) * bytes <= 32 << 20).toBe(true);
  });
});

describe('segment', () => {
  it('leaves no file where its size is over a limit', () => {
    const module = new URL('../../src/collectives/shm-segment.ts', import.meta.url).href;
    const script = `
      import { ShmSegment } from '${module}';
      const shape = { node: 0, numNodes: 1, workersPerNode: 2, ringBytes: 1 << 20 };
      try {
        ShmSegment.create('limit-test', 1, shape);
      } catch (error) {
        console.log(error.message);
      }`;
    const shell = `trap '' XFSZ; ulimit -f 100; exec "$0" --conditions=source --import tsx --input-type=module -e "$1"`;
    const { stdout } = spawnSync('bash', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
    expect(stdout).toMatch(/^the shared memory of this node needs \d+ bytes .*EFBIG/);
    expect(readdirSync('/dev/shm').filter((name) => name.startsWith('locmoe-limit-test-'))).toEqual([]);
  });

  it('is shared by all who attach, whether or not its name still exists', () => {
    const segment = create();
    const place = { node: 1, numNodes: 2, workersPerNode: 2 };
    const other = ShmSegment.attach(segment.path, 3, place);
    segment.unlink();
    expect(existsSync(segment.path)).toBe(false);
    segment.ring(2, 0).write(Uint8Array.of(1, 2, 3), 0);
    const target = new Uint8Array(3);
    expect(other.ring(2, 0).read(target, 0)).toBe(3);
    expect([...target]).toEqual([1, 2, 3]);
    other.control(1).setProgress(9, 'reduce');
    segment.abort('because');
    segment.abort('too late');
    expect(other.abortReason).toBe('because');
    other.close();
    segment.close();
    expect(segment.control(1).progress).toMatchObject({ step: 9, phase: 'reduce', operation: null });
    expect(() => segment.ring(2, 0)).toThrow(/closed/);
  });

  it('refuses a worker of another generation or place', () => {
    const { path } = create();
    expect(() => ShmSegment.attach(path, 4, { node: 1, numNodes: 2, workersPerNode: 2 })).toThrow(
      /= 3, 1, 2, 2; this worker expects 4, 1, 2, 2/,
    );
    expect(() =>
      ShmSegment.attach('/dev/shm/locmoe-none', 3, { node: 1, numNodes: 2, workersPerNode: 2 }),
    ).toThrow(/cannot attach/);
  });

  it('says what to change if /dev/shm is too small', () => {
    const { bavail, bsize } = statfsSync('/dev/shm');
    const tooMuch = 2 ** Math.ceil(Math.log2((bavail * bsize) / 10 + 1));
    expect(() => create(tooMuch)).toThrow(
      /needs \d+ bytes in \/dev\/shm, but \d+ bytes are free: lower cluster.ringBytes or raise the size/,
    );
  });

  it('is removed if its agent no longer lives, and only then', () => {
    const mine = create();
    const { pid } = spawnSync('true');
    const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0];
    const stale = `/dev/shm/locmoe-stale-test-g1-n0-${pid}-${namespace}`;
    // A segment made on another machine, where this pid belongs to another process.
    const elsewhere = `/dev/shm/locmoe-stale-test-g1-n0-${pid}-1`;
    for (const file of [stale, elsewhere]) writeFileSync(file, 'x');
    try {
      expect(removeStaleSegments()).toContain(stale);
      expect([stale, elsewhere, mine.path].map((file) => existsSync(file))).toEqual([false, true, true]);
    } finally {
      rmSync(elsewhere);
    }
  });

  it('can lose its name to somebody else', () => {
    const mine = create();
    rmSync(mine.path);
    mine.unlink();
  });
});
