import {
  type Block,
  type FeedForward,
  type Norm,
  networkOfExpert,
  type Parameter,
} from '../architecture/architecture.js';
import type { RunConfig } from '../config/schema.js';
import { initStd, matrixSpec, residualStd, vectorSpec } from '../parameters/matrix.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { heldExperts, routerPolicy } from '../routing/index.js';
import { describe } from './describe.js';
import { withPairs } from './lora.js';

/**
 * Returns the specs of a model, with low-rank pairs, in the order of the forward pass, which is that of the flat arrays. The
 * description has names and shapes; the role of a parameter decides the rest.
 *
 * @param experts ids of the experts of each sparse layer
 */
export function modelSpecs(config: RunConfig, experts: readonly (readonly number[])[]): ParameterSpec[] {
  const { dModel, tokens, positions, blocks, norm, head } = describe(config);
  const numLayers = blocks.filter(({ operation }) => operation.op === 'attention').length;
  const std = initStd(dModel);
  const stdOfOut = residualStd(dModel, numLayers);
  const ofRouter = routerPolicy(config.moe.router).parameters(config.moe, dModel);
  let sparse = 0;
  const positionSpec = (rows: Parameter) => ({ ...matrixSpec(rows, std), decay: false });
  const network = ({ into, out }: FeedForward, placement?: ParameterSpec['placement']) => [
    ...into.map((weight) => matrixSpec(weight, std, placement)),
    matrixSpec(out, stdOfOut, placement),
  ];
  const operationSpecs = ({ layer, operation }: Block): ParameterSpec[] => {
    if (operation.op === 'feedForward') return network(operation);
    if (operation.op === 'attention')
      return [
        ...operation.projections.flatMap(({ weight, bias, headNorm }) => [
          matrixSpec(weight, std),
          ...(bias === null ? [] : [vectorSpec(bias, 0)]),
          ...(headNorm === null ? [] : normSpecs(headNorm)),
        ]),
        matrixSpec(operation.out, stdOfOut),
      ];
    const { shared, network: ofExpert } = operation;
    return [
      ...(shared === null ? [] : network(shared.network)),
      ...(shared?.gate ? [matrixSpec(shared.gate, std)] : []),
      ...ofRouter.map((spec) => ({ ...spec, name: `${layer}.router.${spec.name}` })),
      ...experts[sparse++]!.flatMap((id) => network(networkOfExpert(ofExpert, id), 'expert')),
    ];
  };
  const specs = [
    matrixSpec(tokens, std),
    ...(positions === null ? [] : [positionSpec(positions)]),
    ...blocks.flatMap((block) => [
      ...learnedInputs(block).map(positionSpec),
      ...normSpecs(block.norm),
      ...operationSpecs(block),
    ]),
    ...normSpecs(norm),
    ...(head === tokens ? [] : [matrixSpec(head, std)]),
  ];
  return withPairs(specs, config.train);
}

function normSpecs(norm: Norm): ParameterSpec[] {
  const gain = vectorSpec(norm.gain, 1);
  return norm.op === 'layerNorm' ? [gain, vectorSpec(norm.bias, 0)] : [gain];
}

/** Returns the embeddings of positions that a block reads beside its input. */
function learnedInputs({ operation }: Block): Parameter[] {
  if (operation.op !== 'attention') return [];
  return operation.projections.flatMap(({ of }) => (of === 'input' ? [] : [of]));
}

/**
 * Returns the specs of the whole model, whichever rank holds the parameters.
 *
 * @param count number of experts of a layer, all by default
 */
export function allSpecs(config: RunConfig, count = heldExperts(config.moe).count): ParameterSpec[] {
  const { first } = heldExperts(config.moe);
  const experts = Array.from({ length: count }, (_, i) => first + i);
  return modelSpecs(config, Array(config.model.numSparseLayers).fill(experts));
}
