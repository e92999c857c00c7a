/** What the notebook room's plugins share among themselves. */
import { Token } from '@lumino/coreutils';

import type { Actions } from './actions';
import type { Documents } from './documents';
import type { Items } from './items';
import type { ContextSource } from './source';

export interface INotebookRoom {
  readonly documents: Documents;
  readonly items: Items;
  readonly source: ContextSource;
  readonly actions: Actions;
}

export const INotebookRoom = new Token<INotebookRoom>(
  '@cellar/lab:INotebookRoom',
  'The open documents as the chat sees them, and what can be asked about them.'
);
