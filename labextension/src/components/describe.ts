import type { TranslationBundle } from '@jupyterlab/translation';

import { errorInfo } from '../api';
import type { IErrorInfo } from '../wire/types';
import { errorWords, type IRemedies } from './words';

function isInfo(error: unknown): error is IErrorInfo {
  return (
    typeof error === 'object' &&
    error !== null &&
    !(error instanceof Error) &&
    typeof (error as Partial<IErrorInfo>).code === 'string'
  );
}

/** One line about anything that was thrown or that the server said. */
export function describe(
  trans: TranslationBundle,
  error: unknown,
  can?: IRemedies
): string {
  const info = isInfo(error) ? error : errorInfo(error);
  const { title, text } = errorWords(trans, info, can);
  return text ? `${title}. ${text}` : title;
}
