import type { CheckpointRow } from '../../api-types.js';
import { checkCheckpoint } from '../api.js';
import { button, fill, h, heading, numberCell, row, scrollable, table } from '../dom.js';
import { DASH, formatBytes, formatDate } from '../format.js';

const CHECKING = 'being read…';
const SOUND = 'loads: all hashes are right';

/** The checkpoints of a run, newest first, and whether each can be loaded. */
export class CheckpointCard {
  readonly element = h.section({ class: 'card checkpoints', 'aria-label': 'Checkpoints' });
  #runId = '';
  #rows: readonly CheckpointRow[] = [];
  /** Results of reading whole checkpoints, by folder and time. */
  readonly #checks = new Map<string, string>();

  set(runId: string, rows: readonly CheckpointRow[]): void {
    this.#runId = runId;
    this.#rows = rows;
    this.#show();
  }

  #show(): void {
    const columns = ['step', 'saved', 'generation', 'size', 'state', ''];
    const rows = this.#rows.map((each) => this.#row(each));
    fill(
      this.element,
      heading('Checkpoints', 'newest first'),
      rows.length === 0
        ? h.p({ class: 'empty' }, 'None saved yet (train.checkpointEvery).')
        : scrollable('table of checkpoints', table(columns, rows)),
    );
  }

  #row(each: CheckpointRow): HTMLElement {
    const { step, name, time, generation, bytes, problem } = each;
    const check = this.#checks.get(keyOf(each));
    const isBad = problem !== null || (check !== undefined && check !== CHECKING && check !== SOUND);
    const read = button('Check hashes', () => void this.#check(each), {
      'aria-label': `check hashes of ${name}`,
      title: 'reads all its files',
      disabled: check !== undefined,
    });
    return row(
      {},
      String(step),
      time === null ? DASH : formatDate(time),
      numberCell(generation === null ? DASH : String(generation)),
      numberCell(formatBytes(bytes)),
      h.td({ class: isBad ? 'is-bad' : 'is-good' }, problem ?? check ?? 'complete'),
      h.td(problem === null && read),
    );
  }

  async #check(each: CheckpointRow): Promise<void> {
    const key = keyOf(each);
    this.#checks.set(key, CHECKING);
    this.#show();
    try {
      const { problem } = await checkCheckpoint(this.#runId, each.name);
      this.#checks.set(key, problem ?? SOUND);
    } catch (error) {
      // Another click tries again.
      this.#checks.delete(key);
      console.info(`${each.name} was not checked: ${String(error)}`);
    }
    this.#show();
  }
}

function keyOf({ directory, time }: CheckpointRow): string {
  return `${directory} ${time}`;
}
