import { crc32 } from '@node-rs/crc32';
import { allGather } from '../../collectives/all-gather.js';
import type { Transport } from '../../collectives/transport.js';
import { type ErrorCode, TrainerError } from '../../errors.js';
import type { tf } from '../../ops/tensorflow.js';
import { type ExpertRange, heldExperts } from '../groups/domain-groups.js';
import type { CreatedRouter, RouterContext, RouterInput, RoutingDecision } from '../router.js';

// Every result of a router from a file is checked before it is used, as a wrong one would silently corrupt the
// training. Shapes: T tokens of this rank, E experts of the layer, K choices of a token.

/** Creates the error of a router from a description of the problem. */
type Blame = (why: string) => TrainerError;

/** Prefix of the name of the folder from which a router is loaded. */
export const COPY = 'locmoe-router-';
const LINE = new RegExp(String.raw`${COPY}[^/\s]+/([^/\n]+?:\d+)`);

/** Wraps an object of a router, so that errors of its functions name the router, the function and the line. */
export function guarded<T extends object>(its: T, blame: Blame): T {
  const guard =
    (name: string, call: (...args: unknown[]) => unknown) =>
    (...args: unknown[]) => {
      try {
        return call.apply(its, args);
      } catch (error) {
        // A rule that reads a faulty field is aborted by throwing a symbol.
        if (error instanceof TrainerError || typeof error === 'symbol') throw error;
        const [, line] = (error instanceof Error && LINE.exec(error.stack ?? '')) || [];
        const [why] = String(error).split('\n');
        throw blame(`failed in ${name}${line === undefined ? '' : ` (${line})`}: ${why}`);
      }
    };
  const guards = {};
  for (const name of membersOf(its)) {
    // A getter may return another value each time.
    const get = () => {
      const each: unknown = Reflect.get(its, name);
      return typeof each === 'function' ? guard(name, each as (...args: unknown[]) => unknown) : each;
    };
    Object.defineProperty(guards, name, { get, enumerable: true, configurable: true });
  }
  return guards as T;
}

/** Returns the names of an object's members, including inherited ones. */
function membersOf(its: object): string[] {
  const above = Object.getPrototypeOf(its);
  const inherited = above === null || above === Object.prototype ? [] : membersOf(above);
  return [...inherited, ...Object.getOwnPropertyNames(its)].filter((name) => name !== 'constructor');
}

/**
 * Returns a router whose decisions are checked one by one.
 *
 * @throws TrainerError `BAD_CONFIG` for a wrong decision, `BAD_INPUT` for one that ignores a requested control of its gate
 */
export function checkedRouter(
  its: CreatedRouter,
  { moe, layer, topology, transport }: Pick<RouterContext, 'moe' | 'layer' | 'topology' | 'transport'>,
  blame: Blame,
): CreatedRouter {
  const router = guarded(its ?? {}, blame);
  if (typeof router.route !== 'function') throw blame('creates no object with a function route');
  const decide = router.route;
  const fail = (code: ErrorCode, why: string) => new TrainerError(code, blame(why).message, { layer });
  function route(input: RouterInput): RoutingDecision {
    let isAsked = input.gateControl === undefined;
    const seen: RouterInput = {
      ...input,
      get gateControl() {
        isAsked = true;
        return input.gateControl;
      },
    };
    const decision = decide(seen);
    const problem =
      shapeProblem(decision, input.domainsT.length, moe.numExperts, topology.worldSize) ??
      choiceProblem(decision, topology.rank, heldExperts(moe)) ??
      weightProblem(decision, input) ??
      rankProblem(decision, transport, layer);
    if (problem !== null) throw fail('BAD_CONFIG', `decided wrongly: ${problem}`);
    if (!isAsked) throw fail('BAD_INPUT', NOTHING_TO_CONTROL);
    return decision;
  }
  return Object.defineProperty(router, 'route', { value: route, enumerable: true });
}

const NOTHING_TO_CONTROL =
  'has no gate to silence, or does not pass its scores through controlled(scores, input.gateControl) of locmoe/routing';

/** Returns which field of a decision is missing or has the wrong shape; null if none. */
function shapeProblem(decision: RoutingDecision, T: number, E: number, worldSize: number): string | null {
  const K = decision?.numChoices;
  if (!(Number.isInteger(K) && K > 0))
    return `numChoices is ${K}; it is how many choices a token has, 1 or more`;
  const { notChosenTK, scores, weightsTK, auxiliaryLoss, gateCosine, keptOfRank } = decision;
  const lists = [
    ['expertsTK', Int32Array, T * K],
    ['chosenTK', Int32Array, T * K],
    ...(notChosenTK === null ? [] : [['notChosenTK', Uint8Array, T * K] as const]),
    ...(['routedE', 'keptE', 'overCapacityE', 'notChosenE'] as const).map(
      (name) => [name, Int32Array, E] as const,
    ),
    ['capacityE', Float64Array, E],
  ] as const;
  for (const [name, Type, length] of lists)
    if (!(decision[name] instanceof Type && decision[name].length === length))
      return `${name} is no ${Type.name} of length ${length}`;
  if (
    keptOfRank?.length !== worldSize ||
    !keptOfRank.every((keptE) => keptE instanceof Int32Array && keptE.length === E)
  )
    return `keptOfRank is no list of ${worldSize} Int32Arrays of length ${E}`;
  if (weightsTK !== null && String(weightsTK?.shape) !== `${T},${K}`)
    return `weightsTK is neither null nor a tensor of shape [${T}, ${K}]`;
  if (scores !== undefined && !(scores?.gateTE instanceof Float32Array && scores.gateTE.length === T * E))
    return `scores are neither undefined nor have a gateTE that is a Float32Array of length ${T * E}`;
  if (auxiliaryLoss !== null && auxiliaryLoss?.shape?.length !== 0)
    return 'auxiliaryLoss is neither null nor a scalar';
  return gateCosine === null || (Number.isFinite(gateCosine?.sum) && Number.isFinite(gateCosine.count))
    ? null
    : 'gateCosine is neither null nor has numbers sum and count';
}

/** Describes a choice of a nonexistent expert, or counts that do not match the choices; null if none. */
function choiceProblem(
  decision: RoutingDecision,
  rank: number,
  { first, count }: ExpertRange,
): string | null {
  const { chosenTK, expertsTK, keptE, routedE, overCapacityE, notChosenE, keptOfRank } = decision;
  const [chosenE, sentE] = [new Int32Array(keptE.length), new Int32Array(keptE.length)];
  for (let at = 0; at < chosenTK.length; at++) {
    const [chosen, sent] = [chosenTK[at]!, expertsTK[at]!];
    if (chosen !== -1 && (chosen < first || chosen >= first + count))
      return `chosenTK[${at}] is ${chosen}; experts are ${first} to ${first + count - 1}, and -1 is none`;
    if (sent !== -1 && sent !== chosen)
      return `expertsTK[${at}] is ${sent}; it is chosenTK[${at}], ${chosen}, or -1`;
    if (chosen !== -1) chosenE[chosen]!++;
    if (sent !== -1) sentE[sent]!++;
  }
  for (let e = 0; e < keptE.length; e++) {
    if (routedE[e] !== chosenE[e])
      return `routedE[${e}] is ${routedE[e]}, and chosenTK has it ${chosenE[e]} times`;
    if (keptE[e] !== sentE[e]) return `keptE[${e}] is ${keptE[e]}, and expertsTK has it ${sentE[e]} times`;
    if (routedE[e] !== keptE[e]! + overCapacityE[e]! + notChosenE[e]!)
      return `routedE[${e}] is ${routedE[e]}, and not the sum of keptE, overCapacityE and notChosenE there`;
    if (keptOfRank[rank]![e] !== keptE[e])
      return `keptOfRank[${rank}][${e}] is ${keptOfRank[rank]![e]}, and keptE[${e}] ${keptE[e]}`;
  }
  return null;
}

/** Describes a weight that is not finite although everything that the router has read is; null if none. */
function weightProblem(
  { weightsTK, expertsTK }: RoutingDecision,
  { xTD, parameters }: RouterInput,
): string | null {
  if (weightsTK === null) return null;
  const weights = weightsTK.dataSync<'float32'>();
  const at = weights.findIndex((weight, choice) => !Number.isFinite(weight) && expertsTK[choice] !== -1);
  const isWhole = (tensor: tf.Tensor) => tensor.dataSync<'float32'>().every(Number.isFinite);
  return at >= 0 && [xTD, ...parameters.values()].every(isWhole)
    ? `weightsTK[${at}] is ${weights[at]}`
    : null;
}

/**
 * Describes a rank that has decided otherwise than rank 0 about what all ranks must agree on; null if none. A collective, as ranks
 * that expect other rows than they are sent would wait or exchange them wrongly.
 *
 * @throws TrainerError as `Transport.transfer`
 */
function rankProblem(
  { keptOfRank, numChoices, weightsTK }: RoutingDecision,
  transport: Transport,
  layer: number,
): string | null {
  if (transport.topology.worldSize === 1) return null;
  const kept = keptOfRank.reduce(
    (sum, { buffer, byteOffset, byteLength }) => crc32(new Uint8Array(buffer, byteOffset, byteLength), sum),
    0,
  );
  const names = ['keptOfRank', 'numChoices', 'weightsTK, which is null on one of them,'];
  const mine = Int32Array.of(kept, numChoices, weightsTK === null ? 0 : 1);
  const all = allGather(transport, { mine, purpose: 'counts', layer });
  for (const [rank, values] of all.entries()) {
    const differing = values.findIndex((value, i) => value !== all[0]![i]);
    if (differing >= 0) return `rank ${rank} has another ${names[differing]} than rank 0`;
  }
  return null;
}
