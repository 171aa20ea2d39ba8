import type { Kernels } from 'locmoe/internal/ops/kernels/kernels';

let chosen: Kernels | undefined;

/** Sets the kernels of this page, before the first is used. */
export function useKernels(kernels: Kernels): void {
  chosen = kernels;
}

export function kernels(): Kernels {
  if (chosen === undefined) throw new Error('no device is open yet');
  return chosen;
}
