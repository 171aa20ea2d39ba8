import type {
  Architecture,
  Attention,
  FeedForward,
  Norm,
  Parameter,
} from '../../src/architecture/architecture.js';
import { ofExpert } from '../../src/architecture/architecture.js';
import type { Choice, Rule, Scores } from '../../src/architecture/rule.js';

// The computation of an architecture in plain loops and float64: what all other readers are compared with.

type Rows = Float64Array[];

/** Reads a parameter, row-major. */
export type ReadParameter = (parameter: Parameter) => ArrayLike<number>;

export interface ReferenceOutput {
  /** Logits of the next token at each position, [S, V]. */
  readonly logits: Rows;
  /** Weight of each expert for each token, [S, E], 0 where it does not take the token; by layer of experts, from the bottom. */
  readonly weights: readonly Rows[];
}

/** Computes one sequence of a domain. */
export function reference(
  architecture: Architecture,
  read: ReadParameter,
  tokenIds: readonly number[],
  domain: number,
): ReferenceOutput {
  const { tokens, positions, blocks, head, dModel, vocabSize } = architecture;
  const rowOf = (parameter: Parameter, row: number) =>
    Float64Array.from({ length: dModel }, (_, i) => read(parameter)[row * dModel + i]!);
  const weights: Rows[] = [];
  let x: Rows = tokenIds.map((id, position) => {
    const row = rowOf(tokens, id);
    return positions === null ? row : sum(row, rowOf(positions, position));
  });
  for (const { norm, operation } of blocks) {
    const input = x.map((row) => normalise(row, norm, read));
    let output: Rows;
    if (operation.op === 'attention')
      output = attend(
        operation,
        input,
        tokenIds.map((_, position) => position),
        read,
      );
    else if (operation.op === 'feedForward') output = input.map((row) => network(operation, row, read));
    else {
      const { rule, held, shared } = operation;
      const decided = input.map((row, s) =>
        decide(rule!, {
          x: row,
          tokenId: tokenIds[s]!,
          idBefore: (distance) => tokenIds[Math.max(0, s - distance)]!,
          domain,
          group: architecture.expertsOfDomain[domain]!,
          numExperts: operation.numExperts,
          vocabSize,
          read,
        }),
      );
      weights.push(decided);
      output = input.map((row, s) => {
        let y = new Float64Array(dModel);
        for (let expert = held.first; expert < held.first + held.count; expert++) {
          const weight = decided[s]![expert]!;
          if (weight === 0) continue;
          const ofIts = (parameter: Parameter) => read(ofExpert(parameter, expert));
          y = sum(
            y,
            network(operation.network, row, ofIts).map((value) => weight * value),
          );
        }
        if (shared === null) return y;
        const open = shared.gate === null ? 1 : sigmoid(product(row, shared.gate, read)[0]!);
        return sum(
          y,
          network(shared.network, row, read).map((value) => open * value),
        );
      });
    }
    x = x.map((row, s) => sum(row, output[s]!));
  }
  const logits = x.map((row) => {
    const hidden = normalise(row, architecture.norm, read);
    const matrix = read(head);
    return Float64Array.from({ length: vocabSize }, (_, id) =>
      hidden.reduce((total, value, i) => total + value * matrix[id * dModel + i]!, 0),
    );
  });
  return { logits, weights };
}

function sum(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, i) => value + b[i]!);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Computes x W. */
function product(x: Float64Array, weight: Parameter, read: ReadParameter): Float64Array {
  const values = read(weight);
  const columns = weight.shape[1]!;
  return Float64Array.from({ length: columns }, (_, j) =>
    x.reduce((total, value, i) => total + value * values[i * columns + j]!, 0),
  );
}

function normalise(x: Float64Array, norm: Norm, read: ReadParameter): Float64Array {
  const gain = read(norm.gain);
  const mean = norm.op === 'layerNorm' ? x.reduce((total, value) => total + value, 0) / x.length : 0;
  const variance = x.reduce((total, value) => total + (value - mean) ** 2, 0) / x.length;
  const scale = 1 / Math.sqrt(variance + norm.epsilon);
  const bias = norm.op === 'layerNorm' ? read(norm.bias) : null;
  return x.map((value, i) => (value - mean) * scale * gain[i]! + (bias?.[i] ?? 0));
}

function network({ activation, into, out }: FeedForward, x: Float64Array, read: ReadParameter): Float64Array {
  const [first, second] = into.map((weight) => product(x, weight, read));
  const hidden =
    activation === 'gelu'
      ? first!.map(
          (value) => (value / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3))),
        )
      : first!.map((value, i) => value * sigmoid(value) * second![i]!);
  return product(hidden, out, read);
}

function attend(
  { numHeads, numKeyValueHeads, headDim, projections, rotation, out }: Attention,
  input: Rows,
  positions: readonly number[],
  read: ReadParameter,
): Rows {
  // Heads by position: parts.queries[s][head].
  const parts: Record<'queries' | 'keys' | 'values', Rows[]> = { queries: [], keys: [], values: [] };
  for (const { gives, of, weight, bias, headNorm } of projections) {
    const columnsOfBias = bias && read(bias);
    positions.forEach((position, s) => {
      const d = input[s]!.length;
      const row =
        of === 'input' ? input[s]! : Float64Array.from({ length: d }, (_, i) => read(of)[position * d + i]!);
      const columns = product(row, weight, read).map((value, i) => value + (columnsOfBias?.[i] ?? 0));
      let begin = 0;
      for (const part of gives) {
        const heads = part === 'queries' ? numHeads : numKeyValueHeads;
        parts[part][s] = Array.from({ length: heads }, (_, head) => {
          const ofHead = columns.slice(begin + head * headDim, begin + (head + 1) * headDim);
          const normal = headNorm === null ? ofHead : normalise(ofHead, headNorm, read);
          return rotation === null || part === 'values' ? normal : rotated(normal, rotation, position);
        });
        begin += heads * headDim;
      }
    });
  }
  return positions.map((_, s) => {
    const mixed = new Float64Array(numHeads * headDim);
    for (let head = 0; head < numHeads; head++) {
      const shared = Math.floor((head * numKeyValueHeads) / numHeads);
      const query = parts.queries[s]![head]!;
      const scores = positions
        .slice(0, s + 1)
        .map(
          (__, earlier) =>
            query.reduce((total, value, i) => total + value * parts.keys[earlier]![shared]![i]!, 0) /
            Math.sqrt(headDim),
        );
      const masses = scores.map((score) => Math.exp(score - Math.max(...scores)));
      const total = masses.reduce((a, b) => a + b, 0);
      masses.forEach((mass, earlier) => {
        for (let i = 0; i < headDim; i++)
          mixed[head * headDim + i]! += (mass / total) * parts.values[earlier]![shared]![i]!;
      });
    }
    return product(mixed, out, read);
  });
}

function rotated(head: Float64Array, rotation: readonly number[], position: number): Float64Array {
  const half = rotation.length;
  return head.map((value, i) => {
    const angle = position * rotation[i % half]!;
    return i < half
      ? value * Math.cos(angle) - head[i + half]! * Math.sin(angle)
      : value * Math.cos(angle) + head[i - half]! * Math.sin(angle);
  });
}

interface Token {
  /** Normalised activations, length d. */
  readonly x: Float64Array;
  readonly tokenId: number;
  /** Returns the id `distance` tokens before, or the first of the sequence. */
  readonly idBefore: (distance: number) => number;
  readonly domain: number;
  /** Experts of the domain. */
  readonly group: readonly number[];
  readonly numExperts: number;
  readonly vocabSize: number;
  readonly read: ReadParameter;
}

/** Returns the weight of each expert for one token, length E; 0 where it does not take the token. */
function decide({ choose, keep, weigh }: Rule<Parameter>, token: Token): Float64Array {
  const candidates = candidatesOf(choose, token);
  const scores = scoresOf(weigh.by, token);
  const total = weigh.share ? candidates.reduce((sum, expert) => sum + scores[expert]!, 0) : 1;
  const ranked = keep && scoresOf(keep.scores, token);
  const weights = new Float64Array(token.numExperts);
  for (const expert of candidates)
    if (ranked === null || ranked[expert]! >= token.read(keep!.threshold)[expert]!)
      weights[expert] = scores[expert]! / total;
  return weights;
}

function candidatesOf(choose: Choice<Parameter>, token: Token): number[] {
  const { group, domain, idBefore, vocabSize, read } = token;
  if (choose.op === 'table') {
    const chosen = choose.tables.map(
      ({ experts, before }) => read(experts)[domain * vocabSize + idBefore(before)]!,
    );
    return chosen[0]! < 0 ? [] : chosen;
  }
  const scores = scoresOf(choose.by, token);
  const ranked = (experts: readonly number[]) => experts.toSorted((a, b) => scores[b]! - scores[a]! || a - b);
  const add = (experts: readonly number[]) => experts.reduce((total, expert) => total + scores[expert]!, 0);
  const groupsOf = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      group.slice((i * group.length) / count, ((i + 1) * group.length) / count),
    );
  if (choose.op === 'topOfGroups')
    return groupsOf(choose.groups).flatMap((part) => ranked(part).slice(0, choose.count / choose.groups));
  if (choose.op === 'topP') {
    const best = ranked(group).slice(0, choose.count);
    return best.filter((_, i) => add(best.slice(0, i)) < choose.sum);
  }
  const { count, limit } = choose;
  if (limit === null) return ranked(group).slice(0, count);
  const parts = groupsOf(limit.groups);
  const sums = parts.map((part) => add(ranked(part).slice(0, count / limit.open)));
  const open = [...parts.keys()].sort((a, b) => sums[b]! - sums[a]! || a - b).slice(0, limit.open);
  return ranked(open.flatMap((i) => parts[i]!)).slice(0, count);
}

/** Keeps the cosine of a zero vector finite, as in src/routing/gates/grap.ts. */
const LEAST_SQUARED_NORM = 1e-12;

function scoresOf(scores: Scores<Parameter>, token: Token): Float64Array {
  const { x, group, numExperts, tokenId, read } = token;
  const each = (value: (expert: number) => number) =>
    Float64Array.from({ length: numExperts }, (_, expert) => value(expert));
  const norm = (values: Float64Array) =>
    Math.sqrt(values.reduce((total, value) => total + value * value, 0) + LEAST_SQUARED_NORM);
  switch (scores.op) {
    case 'linear':
      return product(x, scores.weight, read);
    case 'cosine': {
      const weight = read(scores.weight);
      const dots = product(x, scores.weight, read);
      return each(
        (expert) => dots[expert]! / (norm(x) * norm(x.map((_, i) => weight[i * numExperts + expert]!))),
      );
    }
    case 'grouped':
    case 'groupedCosine': {
      const factors = scores.factors && read(scores.factors);
      const width = x.length / numExperts;
      const sumOfGroup = (expert: number, value: (i: number) => number) =>
        Array.from({ length: width }, (_, i) => value(expert * width + i)).reduce((a, b) => a + b, 0);
      return each((expert) => {
        const dot = sumOfGroup(expert, (i) => x[i]! * (factors?.[i] ?? 1)) / Math.sqrt(width);
        if (scores.op === 'grouped') return dot;
        const square = factors === null ? 1 : sumOfGroup(expert, (i) => factors[i]! ** 2) / width;
        return dot / norm(x) / Math.sqrt(square + (factors === null ? 0 : LEAST_SQUARED_NORM));
      });
    }
    case 'ofId':
      return each((expert) => read(scores.table)[tokenId * numExperts + expert]!);
    case 'parameter': {
      const values = read(scores.parameter);
      return each((expert) => values[values.length === 1 ? 0 : expert]!);
    }
    case 'number':
      return each(() => scores.value);
    case 'softmax': {
      const of = scoresOf(scores.of, token);
      const most = Math.max(...group.map((expert) => of[expert]!));
      const masses = each((expert) => (group.includes(expert) ? Math.exp(of[expert]! - most) : 0));
      const total = masses.reduce((a, b) => a + b, 0);
      return masses.map((mass) => mass / total);
    }
    case 'relu':
      return scoresOf(scores.of, token).map((value) => Math.max(0, value));
    case 'sigmoid':
      return scoresOf(scores.of, token).map(sigmoid);
    case 'tanh':
      return scoresOf(scores.of, token).map(Math.tanh);
    case 'exp':
      return scoresOf(scores.of, token).map(Math.exp);
    default: {
      const [left, right] = [scoresOf(scores.left, token), scoresOf(scores.right, token)];
      const compute = {
        add: (a: number, b: number) => a + b,
        subtract: (a: number, b: number) => a - b,
        multiply: (a: number, b: number) => a * b,
        divide: (a: number, b: number) => a / b,
      }[scores.op];
      return left.map((value, expert) => compute(value, right[expert]!));
    }
  }
}
