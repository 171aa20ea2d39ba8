import { join } from 'node:path';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { readSafetensorsHeader } from 'locmoe/internal/checkpoint/safetensors';

/** Returns the shapes of the tensors of a checkpoint by name, without reading any tensor. */
export function shapesOf({ folder, manifest }: Checkpoint): ReadonlyMap<string, readonly number[]> {
  const headers = [...new Set(Object.values(manifest.tensors))].map((file) =>
    readSafetensorsHeader(join(folder, file)),
  );
  return new Map(
    headers.flatMap(({ tensors }) => [...tensors].map(([name, { shape }]) => [name, shape] as const)),
  );
}
