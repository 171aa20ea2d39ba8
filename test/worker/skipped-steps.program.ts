import { rankProgram } from '@locmoe/test-kit';
import { trainSkipping } from './skipping.js';

rankProgram(trainSkipping);
