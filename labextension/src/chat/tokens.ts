/**
 * The chat as the rest of the extension sees it: plugins add context and ask,
 * components draw the state. No side effects, no JupyterLab imports but Token.
 */
import { Token } from '@lumino/coreutils';

import type { ContextPart } from '../wire/types';
import type { ISubject } from './subject';

/**
 * A thing that will travel with the next question. `key` names the thing
 * ("notebook:a.ipynb"), so that adding it twice keeps one. `read` gives the part
 * as it is at the moment of sending: live notebooks are never copied early. `most`:
 * characters that the model can read in all; what is longer may be read shorter.
 */
export interface IContextItem {
  key: string;
  kind: ContextPart['type'];
  label: string;
  path?: string;
  /** true: offered by itself (active notebook, selection), not added by hand */
  auto: boolean;
  /** the key it has when it is added by hand and no longer follows the cursor */
  held?: string;
  /** what it is found by besides its label: "last error" */
  words?: string;
  read(most?: number): Promise<ContextPart | null>;
}

/** Where automatic context and `@` mentions come from. */
export interface IContextSource {
  /** What is offered by itself now, in order. */
  automatic(): IContextItem[];
  /** Fires its listener when `automatic()` would answer something else. */
  onChanged(listener: () => void): () => void;
  /**
   * Mentions that match what was typed after `@` ("" right after it); without
   * `search` only of what is open.
   */
  mentions(query: string, search: boolean): Promise<IContextItem[]>;
  /** The error that was seen last in what is open; null: none. */
  lastError?(): IContextItem | null;
  /** The thing this key names, as it is now (a draft that was reloaded); null: not known here. */
  resolve?(key: string): IContextItem | null;
  /** What a drag inside JupyterLab carries: cells, files, folders. */
  dropped?(data: IDragData): Promise<IContextItem[]>;
}

/** The data of a drag, as Lumino's MimeData has it. */
export interface IDragData {
  hasData(mime: string): boolean;
  getData(mime: string): unknown;
}

/** What a code block of an answer can be used for now; absent: not possible. */
export interface ICodeTarget {
  /** can code of this language be run in it? */
  runs?(language: string): boolean;
  insertAbove?(code: string, language: string): void;
  insertBelow?(code: string, language: string): void;
  /** the cell that the question was about, or what is selected; asks where that is not certain */
  replace?(code: string, language: string, subject: ISubject | null): void;
  newCellAndRun?(code: string, language: string): void;
  newFile?(code: string, language: string): void;
}

export interface ICodeTargets {
  /** The target of this moment (the last used notebook or editor). */
  current(): ICodeTarget;
  onChanged(listener: () => void): () => void;
}

export interface IAskOptions {
  text: string;
  context?: IContextItem[];
  /** send at once; else put into the composer for the user to finish */
  send?: boolean;
  /** in a new conversation; else in the one shown */
  newConversation?: boolean;
}

export interface IChat {
  /** Show the panel and put the cursor into the composer. */
  open(): void;
  ask(options: IAskOptions): Promise<void>;
  /** Begin a new conversation and put the cursor into the composer. */
  newConversation(): void;
  /** Stop what runs in the conversation shown; nothing running is no error. */
  stop(): Promise<void>;
  addContext(items: IContextItem[]): void;
  addSource(source: IContextSource): void;
  setCodeTargets(targets: ICodeTargets): void;
}

export const IChat = new Token<IChat>(
  '@cellar/lab:IChat',
  'The Cellar chat panel: ask, and add context to the next question.'
);
