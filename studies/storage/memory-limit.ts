import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** A memory cgroup, version 1 or 2: its processes may hold so much together, page cache included. */
export class MemoryLimit {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Null where none can be made: it takes root, or a cgroup of one's own. */
  static create(bytes: number): MemoryLimit | null {
    const own = readFileSync('/proc/self/cgroup', 'utf8');
    const v1 = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(own)?.[1];
    const v2 = /^0::(.*)$/m.exec(own)?.[1];
    const parent = v1 === undefined ? `/sys/fs/cgroup${v2}` : `/sys/fs/cgroup/memory${v1}`;
    const folder = `${parent}/locmoe-bench-${process.pid}`;
    try {
      mkdirSync(folder);
    } catch {
      return null;
    }
    const limit = new MemoryLimit(folder);
    try {
      writeFileSync(`${folder}/${v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'}`, String(bytes));
      return limit;
    } catch {
      limit.remove();
      return null;
    }
  }

  /** Limits a process and those that it starts from now on. */
  add(pid: number): void {
    writeFileSync(`${this.#folder}/cgroup.procs`, String(pid));
  }

  /** Call it when all its processes have ended. */
  remove(): void {
    rmdirSync(this.#folder);
  }
}
