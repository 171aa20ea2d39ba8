import { existsSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';

/** Mount points of the kernel's file systems. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroup: string;
}

const KERNEL_FILES: KernelFiles = { proc: '/proc', cgroup: '/sys/fs/cgroup' };

/** File names of a memory cgroup, by version. */
interface Version {
  readonly events: string;
  readonly limit: string;
}

const V2: Version = { events: 'memory.events', limit: 'memory.max' };
const V1: Version = { events: 'memory.oom_control', limit: 'memory.limit_in_bytes' };

/**
 * Counts OOM kills in the memory cgroup of this process and its children; in a root cgroup, which has no counter, the
 * kills of the whole machine.
 */
export class OomKills {
  readonly #counter: string;
  readonly #limits: readonly string[];
  /** Counts at the last two calls of `look`: a kill may be counted before the last call and its victim reaped later. */
  #before: number;
  #last: number;

  constructor({ proc, cgroup }: KernelFiles = KERNEL_FILES) {
    const found = findCgroup(read(`${proc}/self/cgroup`), cgroup);
    this.#counter = found === null ? `${proc}/vmstat` : `${found.folder}/${found.version.events}`;
    this.#limits = found === null ? [] : limitFiles(found.folder, found.version, cgroup);
    this.#before = this.#last = this.#count();
  }

  /** Reads the count; called at intervals, as a kill counted before the last two calls explains no later death. */
  look(): void {
    this.#before = this.#last;
    this.#last = this.#count();
  }

  /** Whether a kill was counted since the second last call of `look`. */
  get haveRisen(): boolean {
    return this.#count() > this.#before;
  }

  /** Returns the end of a message about a killed process that held this memory; empty if there was no OOM kill. */
  explain(held: string): string {
    if (!this.haveRisen) return '';
    return (
      `, probably out of memory: it held ${held}, and the processes ` +
      `of this node may hold ${inMiB(this.limitBytes)} together (raise the limit, or use fewer workers ` +
      'here or a smaller train.globalBatch)'
    );
  }

  /** Memory limit of the cgroup in bytes: the lowest one on the path to the root. */
  get limitBytes(): number {
    return Math.min(totalmem(), ...this.#limits.map((file) => Number(read(file))).filter(Number.isFinite));
  }

  #count(): number {
    return Number(/^oom_kill (\d+)$/m.exec(read(this.#counter))?.[1] ?? 0);
  }
}

/** Returns the folder of the memory cgroup, version 1 preferred; null if it is not visible here. */
function findCgroup(lines: string, root: string): { folder: string; version: Version } | null {
  const v1 = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(lines)?.[1];
  const v2 = /^0::(.*)$/m.exec(lines)?.[1];
  // A container without a cgroup namespace sees the host's path, but its own folder is the root.
  const candidates: [string | undefined, string, Version][] = [
    [v1, path.join(root, 'memory', v1 ?? ''), V1],
    [v1, path.join(root, 'memory'), V1],
    [v2, path.join(root, v2 ?? ''), V2],
    [v2, root, V2],
  ];
  for (const [known, folder, version] of candidates)
    if (known !== undefined && existsSync(`${folder}/${version.events}`)) return { folder, version };
  return null;
}

function limitFiles(folder: string, version: Version, root: string): string[] {
  const files: string[] = [];
  for (let at = folder; at.startsWith(root); at = path.dirname(at)) files.push(`${at}/${version.limit}`);
  return files;
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim() || 'none';
  } catch {
    return 'none';
  }
}
