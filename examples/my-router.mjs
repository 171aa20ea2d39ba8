// A router of one's own: a gate of cosines with a learned temperature, and the best experts of each token, weighted by their shares
// of the softmax. Shapes: d hidden size, E experts.
import { cosine, defineRouter, multiply, parameter, softmax, top, z } from 'locmoe/routing';

export default defineRouter({
  fields: { choices: z.number().int().positive().default(2).describe('experts that a token takes') },
  parameters: ({ numExperts: E }, d) => [
    { name: 'gate', shape: [d, E] },
    { name: 'temperature', shape: [1], init: { kind: 'constant', value: 8 } },
  ],
  rule: ({ choices }) => ({
    choose: top(softmax(multiply(cosine('gate'), parameter('temperature'))), choices),
  }),
});
