import { EXIT, TrainerError } from './errors.js';

/** Every point at which a failure can be injected, with a description of the moment. */
export const FAILPOINTS = {
  'step.begun': 'a rank has begun a step and no collective of it',
  'journal.append': 'an event is about to be written to the journal of the run',
  'journal.written': 'the event is in the journal and not yet synced',
  'journal.synced': 'the event is synced, nothing has followed from it yet',
  'checkpoint.marked': 'a generation has marked the folder of checkpoints as its own and not yet tidied it',
  'checkpoint.allowed': 'a save has found no later generation and not yet tidied the folder',
  'checkpoint.tidied': 'what interrupted saves left is gone, the temporary folder is not there yet',
  'checkpoint.prepared': 'the temporary folder is there and empty',
  'checkpoint.shard': 'one file of a rank is written and synced',
  'checkpoint.written': 'all files of all ranks are written',
  'checkpoint.manifest': 'the temporary folder is complete and synced',
  'checkpoint.checked': 'a commit has found no later generation',
  'checkpoint.replaced': 'an earlier checkpoint of the same step, if any, is set aside',
  'checkpoint.renamed': 'the checkpoint is committed, `latest` still names the one before',
  'checkpoint.latest-written': 'the new `latest` is written under a temporary name',
  'checkpoint.latest-checked': 'the writer of `latest` has found no later generation',
  'checkpoint.latest': '`latest` names the new checkpoint, old ones are still there',
  'checkpoint.listed': 'the checkpoints to delete are known',
  'checkpoint.aside': 'a checkpoint to replace or delete has its `.replaced-G` name',
  'checkpoint.aside-checked': 'that checkpoint is known to be of no later generation',
  'checkpoint.discarding': 'that checkpoint no longer counts, and its files are still there',
  'run.pruned': 'a run to remove no longer counts, and its files are still there',
  'snapshot.copied': 'a rank has copied its state to the files of a local snapshot, and not yet marked them',
  'step.gradients':
    "a rank's own gradient is complete and not yet summed over the ranks; nan puts one into it",
} as const satisfies Readonly<Record<string, string>>;
export type Failpoint = keyof typeof FAILPOINTS;

/** Rank and generation of a process, with which `rank=` and `generation=` of a specification are compared. */
interface Place {
  readonly rank?: number;
  readonly generation?: number;
}

interface Armed {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly place: Place;
  readonly action: string;
  calls: number;
}

/** Actions that `failpoint` carries out itself, as it does `sleep=MS`, and those that it leaves to its caller. */
const STRIKING = ['kill', 'exit', 'stop', 'throw', 'full'];
const FOR_THE_CALLER = ['nan'] as const;
export type CallersAction = (typeof FOR_THE_CALLER)[number];

const FORM =
  'NAME[:CALL][:ACTION][:rank=R][:generation=G], where CALL is N, N-M or *, and ACTION is ' +
  `${[...STRIKING, ...FOR_THE_CALLER].join(', ')} or sleep=MS`;

/** Undefined until the first call has read the environment; null as long as nothing is armed. */
let armed: Armed[] | null | undefined;
let here: Place = {};

/**
 * Marks a point of the program at which a failure can be injected, by the environment of a process,
 * `LOCMOE_FAIL=SPECIFICATION[,SPECIFICATION...]`, or by `armFailpoint`. Each specification is
 * `NAME[:CALL][:ACTION][:rank=R][:generation=G]`:
 *
 * - CALL counts the calls of this process in a generation (of this thread: each reads the environment for itself): `3` is the third, `3-5`
 *   are three in a row, `*` is every one. The first by default.
 * - ACTION: `kill` (the default) and `stop` send SIGKILL and SIGSTOP to the process, `exit` ends it with code 3, `throw`
 *   throws an error, `full` throws ENOSPC, `sleep=MS` blocks; `nan` is left to the caller.
 * - `rank` and `generation` limit it to processes that have declared these with `placeFailpoints`.
 *
 * @returns an action that the caller carries out itself; almost always undefined
 * @throws TrainerError `BAD_INPUT` if the environment variable is malformed
 */
export function failpoint(name: Failpoint): CallersAction | undefined {
  if (armed === null) return undefined;
  if (armed === undefined) armFromEnvironment();
  let action: CallersAction | undefined;
  for (const each of armed ?? []) {
    if (each.name !== name || !isHere(each.place)) continue;
    each.calls++;
    if (each.calls >= each.first && each.calls <= each.last) action = strike(each) ?? action;
  }
  return action;
}

/**
 * Arms further failpoints from now on; their calls are counted from here.
 *
 * @throws TrainerError `BAD_INPUT` if `specifications` are not of the form that `failpoint` describes
 */
export function armFailpoint(specifications: string): void {
  if (armed === undefined) armFromEnvironment();
  armed = [...(armed ?? []), ...specifications.split(',').map(parse)];
}

/** @throws TrainerError `BAD_INPUT` if `specifications` are not of the form that `failpoint` describes */
export function assertFailpoints(specifications: string): void {
  specifications.split(',').forEach(parse);
}

/**
 * Declares the rank and generation that this process works for from now on. Counts begin anew, and what `armFailpoint`
 * has armed before is disarmed.
 */
export function placeFailpoints(place: Place): void {
  here = place;
  armed = undefined;
}

function armFromEnvironment(): void {
  armed = null;
  const specifications = process.env.LOCMOE_FAIL;
  if (specifications) armFailpoint(specifications);
}

function parse(specification: string): Armed {
  const [name, ...parts] = specification.split(':') as [string, ...string[]];
  if (!Object.hasOwn(FAILPOINTS, name))
    throw new TrainerError(
      'BAD_INPUT',
      `no failpoint "${name}"; there are ${Object.keys(FAILPOINTS).join(', ')}`,
    );
  let [first, last, action] = [1, 1, 'kill'];
  const place: { rank?: number; generation?: number } = {};
  for (const part of parts) {
    const calls = /^([1-9]\d*)(?:-([1-9]\d*))?$/.exec(part);
    const limit = /^(rank|generation)=(\d+)$/.exec(part);
    if (part === '*') last = Number.POSITIVE_INFINITY;
    else if (calls !== null) [first, last] = [Number(calls[1]), Number(calls[2] ?? calls[1])];
    else if (limit !== null) place[limit[1] as keyof Place] = Number(limit[2]);
    else if (isAction(part)) action = part;
    else throw new TrainerError('BAD_INPUT', `failpoint "${specification}": "${part}" is no part of ${FORM}`);
  }
  return { name, first, last, place, action, calls: 0 };
}

function isAction(part: string): boolean {
  return STRIKING.includes(part) || isForTheCaller(part) || /^sleep=\d+$/.test(part);
}

function isForTheCaller(action: string): action is CallersAction {
  return (FOR_THE_CALLER as readonly string[]).includes(action);
}

function isHere({ rank, generation }: Place): boolean {
  return (
    (rank === undefined || rank === here.rank) && (generation === undefined || generation === here.generation)
  );
}

function strike({ name, action }: Armed): CallersAction | undefined {
  if (isForTheCaller(action)) return action;
  switch (action) {
    case 'kill':
    case 'stop':
      process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
      return undefined;
    case 'exit':
      return process.exit(EXIT.failedRun);
    case 'throw':
      throw new Error(`failpoint ${name}`);
    case 'full':
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    default:
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(action.slice('sleep='.length)));
      return undefined;
  }
}
