import type { CheckpointRow } from '../../api-types.js';
import { checkCheckpoint } from '../api.js';
import { button, fill, h, scrollable } from '../dom.js';
import { DASH, formatBytes, formatDate } from '../format.js';

const COLUMNS = ['step', 'saved', 'generation', 'size', 'state', ''];

/** The checkpoints of a run, newest first, and whether each can be loaded. */
export class CheckpointCard {
  readonly element = h('section', { class: 'card checkpoints', 'aria-label': 'Checkpoints' });
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
    const rows = this.#rows;
    fill(
      this.element,
      h('header', {}, h('h2', {}, 'Checkpoints ', h('small', {}, 'newest first'))),
      rows.length === 0
        ? h('p', { class: 'empty' }, 'None saved yet (train.checkpointEvery).')
        : scrollable(
            'table of checkpoints',
            h(
              'table',
              {},
              h('thead', {}, h('tr', {}, ...COLUMNS.map((name) => h('th', { scope: 'col' }, name)))),
              h('tbody', {}, ...rows.map((row) => this.#row(row))),
            ),
          ),
    );
  }

  #row(row: CheckpointRow): HTMLElement {
    const { step, name, time, generation, bytes, problem } = row;
    const check = this.#checks.get(keyOf(row));
    const state = problem ?? check ?? 'complete';
    const isBad = problem !== null || (check !== undefined && check !== CHECKING && check !== SOUND);
    const read = button('Check hashes', () => void this.#check(row), {
      'aria-label': `check hashes of ${name}`,
      title: 'reads all its files',
      disabled: check !== undefined,
    });
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, String(step)),
      h('td', {}, time === null ? DASH : formatDate(time)),
      h('td', { class: 'number' }, generation === null ? DASH : String(generation)),
      h('td', { class: 'number' }, formatBytes(bytes)),
      h('td', { class: isBad ? 'is-bad' : 'is-good' }, state),
      h('td', {}, problem === null && read),
    );
  }

  async #check(row: CheckpointRow): Promise<void> {
    const key = keyOf(row);
    this.#checks.set(key, CHECKING);
    this.#show();
    try {
      const { problem } = await checkCheckpoint(this.#runId, row.name);
      this.#checks.set(key, problem ?? SOUND);
    } catch (error) {
      // Another click asks again.
      this.#checks.delete(key);
      console.info(`${row.name} was not checked: ${String(error)}`);
    }
    this.#show();
  }
}

const CHECKING = 'being read…';
const SOUND = 'loads: all hashes are right';

function keyOf({ directory, time }: CheckpointRow): string {
  return `${directory} ${time}`;
}
