import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { processorFlags } from 'locmoe/internal/os/processor';
import type { Made } from '../kit/study.js';
import type { Figures } from './figures.js';

/**
 * Properties on which the speed of a step depends. Virtual machines hide the model's name, so its numbers
 * identify the processor.
 */
export interface Processor {
  readonly name: string;
  /** Family, model and stepping; null where they were not recorded. */
  readonly numbers: string | null;
  /** Vector instructions by which kernels are chosen, as the operating system names them. */
  readonly vectors: readonly string[];
  /** Sizes by level, such as `L2 1024K`; null where they were not recorded. */
  readonly caches: readonly string[] | null;
}

/** The last measurement on a machine. */
export interface MachineFigures extends Made<Figures> {
  readonly processor: Processor;
  /** Time of the measurement, ISO 8601. */
  readonly measuredAt: string;
}

const VECTORS = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16'];
const CACHES = '/sys/devices/system/cpu/cpu0/cache';

export function processorHere(): Processor {
  const flags = processorFlags();
  return {
    name: cpus()[0]!.model.trim(),
    numbers: ['cpu family', 'model', 'stepping'].map((field) => cpuInfo(field) ?? '?').join('-'),
    vectors: VECTORS.filter((flag) => flags.has(flag)),
    caches: cachesHere(),
  };
}

function cpuInfo(field: string): string | undefined {
  return new RegExp(`^${field}\\s*: (.*)$`, 'm').exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
}

function cachesHere(): string[] | null {
  try {
    const levels = readdirSync(CACHES).filter((name) => name.startsWith('index'));
    return levels.flatMap((name) => {
      const [level, type, size] = ['level', 'type', 'size'].map((file) =>
        readFileSync(path.join(CACHES, name, file), 'utf8').trim(),
      );
      return type === 'Instruction' ? [] : [`L${level} ${size}`];
    });
  } catch {
    return null;
  }
}

/** Writes `step/MACHINE.json` into `out`; files of other machines stay. */
export function keepMachine(out: string, figures: MachineFigures): void {
  const { name, numbers } = figures.processor;
  const machine = `${name} ${numbers ?? ''}`
    .trim()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-');
  mkdirSync(path.join(out, 'step'), { recursive: true });
  writeFileSync(path.join(out, 'step', `${machine}.json`), `${JSON.stringify(figures, null, 2)}\n`);
}

/** Returns the machines measured so far: the one with the most cells first; among equals, the newest measurement. */
export function readMachines(out: string): MachineFigures[] {
  const folder = path.join(out, 'step');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name): MachineFigures => JSON.parse(readFileSync(path.join(folder, name), 'utf8')))
    .sort((a, b) => b.cells.length - a.cells.length || b.measuredAt.localeCompare(a.measuredAt));
}
