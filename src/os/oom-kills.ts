import { existsSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';

/** Where the kernel shows processes and cgroups. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroup: string;
}

const KERNEL_FILES: KernelFiles = { proc: '/proc', cgroup: '/sys/fs/cgroup' };

/** Names in the folder of a memory cgroup. */
interface Version {
  readonly events: string;
  readonly limit: string;
}

const V2: Version = { events: 'memory.events', limit: 'memory.max' };
const V1: Version = { events: 'memory.oom_control', limit: 'memory.limit_in_bytes' };

/**
 * Counts the processes that the kernel killed for lack of memory in the memory cgroup of this process, to which its
 * children belong too; in a root cgroup, which counts nothing, those of the whole machine.
 */
export class OomKills {
  readonly #counter: string;
  readonly #limits: readonly string[];
  /** The count at the last two looks: the kernel may count a kill before the last, and its victim be reaped after it. */
  #before: number;
  #last: number;

  constructor({ proc, cgroup }: KernelFiles = KERNEL_FILES) {
    const found = findCgroup(read(`${proc}/self/cgroup`), cgroup);
    this.#counter = found === null ? `${proc}/vmstat` : `${found.folder}/${found.version.events}`;
    this.#limits = found === null ? [] : limitFiles(found.folder, found.version, cgroup);
    this.#before = this.#last = this.#count();
  }

  /** To be called at intervals: a kill that was counted before the last two calls explains no death from then on. */
  look(): void {
    this.#before = this.#last;
    this.#last = this.#count();
  }

  /** Whether there was one since the last call but one of `look`. */
  get haveRisen(): boolean {
    return this.#count() > this.#before;
  }

  /** Why a process that held `heldBytes` was killed, to go on its name; empty if it was not for memory. */
  explain(heldBytes: number): string {
    if (!this.haveRisen) return '';
    return `, probably out of memory: it held ${inMiB(heldBytes)} when last looked at, and the processes of this node may hold ${inMiB(this.limitBytes)} together (raise the limit, or use fewer workers here or a smaller train.globalBatch)`;
  }

  /** What the processes of the cgroup may hold together, in bytes: the least limit on the way to the root. */
  get limitBytes(): number {
    return Math.min(totalmem(), ...this.#limits.map((file) => Number(read(file))).filter(Number.isFinite));
  }

  #count(): number {
    return Number(/^oom_kill (\d+)$/m.exec(read(this.#counter))?.[1] ?? 0);
  }
}

/** The folder of the memory cgroup, of version 1 where the machine has it; null if it is not shown here. */
function findCgroup(lines: string, root: string): { folder: string; version: Version } | null {
  const v1 = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(lines)?.[1];
  const v2 = /^0::(.*)$/m.exec(lines)?.[1];
  // A container without a cgroup namespace reads the path on the host, and sees its own folder as the root.
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
