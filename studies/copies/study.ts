import { once } from 'node:events';
import { openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { endProgram, forkProgram, programBeside } from '@locmoe/test-kit';
import koffi from 'koffi';
import { mapPrivate, mapShared } from 'locmoe/internal/os/libc';
import { digits, formatSize } from '../../packages/bench/src/collectives/measurements.js';
import { study } from '../kit/study.js';
import { table } from '../kit/text.js';
import { type CopyOrder, type CopyTimes, MOST_BYTES, SIZES, WAYS } from './copies.js';

export interface Figures {
  readonly times: readonly CopyTimes[];
}

const FILL = 7;
const DEADLINE_MS = 120_000;

export default study({
  name: 'copies',
  description: 'how fast one process gets the bytes of another on the same machine, by the number of copies',
  options: {},

  async measure({ signal }): Promise<Figures> {
    const shared = `/dev/shm/locmoe-copies-${process.pid}`;
    const reader = forkProgram(programBeside(import.meta.url, 'copies.program'));
    try {
      writeFileSync(shared, '', { mode: 0o600 });
      truncateSync(shared, MOST_BYTES);
      const segment = new Uint8Array(mapShared(openSync(shared, 'r+'), MOST_BYTES).buffer).fill(FILL);
      const small = new Uint8Array(new ArrayBuffer(MOST_BYTES)).fill(FILL);
      const huge = new Uint8Array(mapPrivate(MOST_BYTES)).fill(FILL);
      const addresses = { small: koffi.address(small), huge: koffi.address(huge) };
      const order: CopyOrder = { pid: process.pid, addresses, shared, fill: FILL };
      reader.send(order);
      const until = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
      const ended = new AbortController();
      reader.once('exit', (code) => code !== 0 && ended.abort(new Error('the reader failed')));
      const [times] = await once(reader, 'message', { signal: AbortSignal.any([until, ended.signal]) });
      // The reader needs them until then.
      for (const memory of [segment, small, huge]) if (memory[0] !== FILL) throw new Error('memory changed');
      return { times };
    } finally {
      rmSync(shared, { force: true });
      await endProgram(reader);
    }
  },

  report: ({ times }) => ({
    view: {
      times: table([
        ['bytes', ...WAYS],
        ...SIZES.map((bytes) => [
          formatSize(bytes),
          ...WAYS.map((way) => digits(times.find((each) => each.way === way && each.bytes === bytes)!.us)),
        ]),
      ]),
    },
  }),
});
