import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { generationOf } from '@locmoe/run-format';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { committedFolders } from '../../checkpoint/folders.js';
import { send } from '../run-process.js';
import { type PlanFault, pick } from './fault.js';

type Damage = (file: string, draw: number) => void;

const DAMAGES: Readonly<Record<string, Damage>> = {
  'a flipped bit in': (file, draw) => {
    const bytes = readFileSync(file);
    bytes[Math.floor(draw * bytes.length)]! ^= 1;
    writeFileSync(file, bytes);
  },
  'half of': (file, draw) => truncateSync(file, Math.floor(draw * readFileSync(file).length)),
  'the removal of': (file) => rmSync(file),
};

/**
 * Damages the newest checkpoint and kills a worker, so that the run has to notice and fall back. It needs another one
 * that loads.
 */
export const corruptCheckpoint: PlanFault = ({ run, processes, draw }) => {
  const worker = pick(processes.workers, draw('victim'));
  const [newest, ...others] = committedFolders(run.folder.checkpoints);
  if (worker === undefined) return 'no worker is there';
  if (newest === undefined || !loads(newest)) return 'there is no sound checkpoint to damage';
  if (!others.some(loads)) return 'there is no second checkpoint to fall back to';
  const file = path.join(newest, pick(readdirSync(newest).sort(), draw('file')) ?? '');
  const [how, damage] = pick(Object.entries(DAMAGES), draw('damage'))!;
  const { rank, node, pid } = worker;
  return {
    rank,
    node,
    pid,
    durationS: 0,
    detail: `${how} ${path.relative(run.folder.directory, file)}, and SIGKILL of rank ${rank} (pid ${pid})`,
    damaged: { folder: path.basename(newest), generation: generationOf(newest) ?? 0 },
    begin() {
      damage(file, draw('place'));
      send(worker, 'SIGKILL');
    },
  };
};

function loads(folder: string): boolean {
  try {
    openCheckpoint(folder).verify();
    return true;
  } catch {
    return false;
  }
}
