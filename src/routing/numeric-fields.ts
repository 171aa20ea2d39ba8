import { z } from 'zod';
import { MAX_AMOUNT, MAX_COUNT, MAX_REAL } from '../numeric-bounds.js';

// Kinds of numbers in a configuration.

export const positive = z.number().int().positive().max(MAX_COUNT);
export const count = z.number().int().min(0).max(MAX_COUNT);
/** Bytes or tokens of a corpus. */
export const amount = z.number().int().positive().max(MAX_AMOUNT);
export const real = z.number().max(MAX_REAL);
export const share = z.number().gt(0).max(1);
