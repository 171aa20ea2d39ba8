import { expect, it } from 'vitest';
import type { RunConfig } from '../../src/config/schema.js';
import { allSpecs } from '../../src/model/specs.js';
import { tinyConfig } from './support.js';

/** Standard deviation or constant of the initial values, `x` of an expert, and `-` without weight decay. */
function rolesOf(config: RunConfig): string[] {
  return allSpecs(config).map(({ name, shape, init, placement, decay }) => {
    const first = init.kind === 'normal' ? `std ${init.std.toFixed(4)}` : `${init.value}`;
    return `${name} [${shape}] ${first}${placement === 'expert' ? ' x' : ''}${decay ? '' : ' -'}`;
  });
}

// Their order is that of the flat arrays: another one could not resume a run. sqrt(2 / 40) = 0.2236.
it('parameters of a llama model come in the order of the forward pass, with initial values by role', () => {
  const config = tinyConfig({
    model: { family: 'llama', numDenseLayers: 0, attentionBias: true, qkNorm: true, numKeyValueHeads: 1 },
    moe: { numExperts: 2, expertGroups: 1, sharedExperts: 2, sharedExpertGate: true },
  });
  expect(rolesOf(config)).toEqual([
    'embed.tokens [257,8] std 0.2236',
    'layers.0.ln_attn.gain [8] 1 -',
    'layers.0.attn.q [8,8] std 0.2236',
    'layers.0.attn.q.bias [8] 0 -',
    'layers.0.attn.q_norm.gain [4] 1 -',
    'layers.0.attn.k [8,4] std 0.2236',
    'layers.0.attn.k.bias [4] 0 -',
    'layers.0.attn.k_norm.gain [4] 1 -',
    'layers.0.attn.v [8,4] std 0.2236',
    'layers.0.attn.v.bias [4] 0 -',
    'layers.0.attn.out [8,8] std 0.1581',
    'layers.0.ln_ffn.gain [8] 1 -',
    'layers.0.shared.w_gate [8,32] std 0.2236',
    'layers.0.shared.w_in [8,32] std 0.2236',
    'layers.0.shared.w_out [32,8] std 0.1581',
    'layers.0.shared.gate [8,1] std 0.2236',
    'layers.0.router.weight [8,2] std 0.2236',
    'layers.0.experts.0.w_gate [8,16] std 0.2236 x',
    'layers.0.experts.0.w_in [8,16] std 0.2236 x',
    'layers.0.experts.0.w_out [16,8] std 0.1581 x',
    'layers.0.experts.1.w_gate [8,16] std 0.2236 x',
    'layers.0.experts.1.w_in [8,16] std 0.2236 x',
    'layers.0.experts.1.w_out [16,8] std 0.1581 x',
    'ln_final.gain [8] 1 -',
    'head [257,8] std 0.2236',
  ]);
});

it('positions come first in their block, also those of the query layer', () => {
  const config = tinyConfig({ model: { numDenseLayers: 0, numSparseLayers: 0 } });
  expect(rolesOf(config)).toEqual([
    'embed.tokens [257,8] std 0.2236',
    'embed.positions [6,8] std 0.2236 -',
    'query.positions [6,8] std 0.2236 -',
    'query.ln_attn.gain [8] 1 -',
    'query.ln_attn.bias [8] 0 -',
    'query.attn.q [8,8] std 0.2236',
    'query.attn.kv [8,16] std 0.2236',
    'query.attn.out [8,8] std 0.1581',
    'query.ln_ffn.gain [8] 1 -',
    'query.ln_ffn.bias [8] 0 -',
    'query.ffn.w_in [8,16] std 0.2236',
    'query.ffn.w_out [16,8] std 0.1581',
    'ln_final.gain [8] 1 -',
    'ln_final.bias [8] 0 -',
  ]);
});
