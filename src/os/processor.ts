import { readFileSync } from 'node:fs';

/** Returns the features of this processor by the kernel's names; empty where they are unknown. */
export function processorFlags(): ReadonlySet<string> {
  try {
    return new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' '));
  } catch {
    return new Set();
  }
}

/** Tells whether this processor multiplies bfloat16 in hardware; elsewhere that is emulated, and slow. */
export function multipliesBfloat16(): boolean {
  const flags = processorFlags();
  return flags.has('avx512_bf16') || flags.has('amx_bf16');
}
