import path from 'node:path';
import {
  encodeManifest,
  MANIFEST_FILE,
  type Manifest as ManifestOf,
  readManifest as read,
} from '@locmoe/run-format';
import { type RunConfig, runSchema } from '../config/schema.js';
import { writeDurably } from './durable.js';

export type Manifest = ManifestOf<RunConfig>;

/** @throws TrainerError as `encodeManifest`; `DISK_FULL` if there is no room */
export function writeManifest(folder: string, manifest: Manifest): void {
  writeDurably(path.join(folder, MANIFEST_FILE), [Buffer.from(encodeManifest(manifest, runSchema))]);
}

/** @throws TrainerError as `readManifest` of run-format */
export function readManifest(folder: string): Manifest {
  return read<RunConfig>(folder, runSchema);
}
