/** The answer of one turn: reasoning, text, what is going on, what went wrong. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { LiveTurn } from '../../chat/live';
import type { ChatStore } from '../../chat/store';
import { isRunning } from '../../chat/tree';
import type { AnswerPart, ITurn } from '../../wire/types';
import { TextButton } from '../buttons';
import { MarkdownView } from '../markdown/view';
import { busyWords, useBusy, useRoom } from '../room';
import { seconds } from '../words';
import { useSeconds } from './useSeconds';
import { Waiting } from './Waiting';
import { shownParts, textOf, type IShownPart } from './chain';
import { ErrorCard } from './ErrorCard';

/**
 * Drawn again when a part is added, not when one grows; and when the turn ends,
 * the same parts stay on the page: what was drawn live is the answer.
 */
export function Answer(props: {
  turn: ITurn;
  /** the answers that this one goes on with or is gone on with, itself included */
  chain: readonly ITurn[];
}): JSX.Element {
  const { turn, chain } = props;
  const { store } = useRoom();
  const last = chain[chain.length - 1];
  // Only the last one grows.
  const live = store.live(last.id);
  React.useSyncExternalStore(live?.subscribe ?? NEVER, () =>
    live ? live.generation * 10_000 + live.parts.length : 0
  );
  const running = isRunning(turn);
  const empty = partsOf(store, turn).length === 0;
  return (
    <div className="jp-Cellar-answer">
      {turn === chain[0] ? <Parts chain={chain} /> : null}
      {running && empty ? <Waiting turn={turn} /> : null}
      {turn === last ? <Ending turn={turn} /> : null}
    </div>
  );
}

const NEVER = () => () => undefined;

function partsOf(store: ChatStore, turn: ITurn): readonly AnswerPart[] {
  return store.live(turn.id)?.parts ?? turn.parts ?? [];
}

function Parts({ chain }: { chain: readonly ITurn[] }): JSX.Element {
  const { store } = useRoom();
  const last = chain[chain.length - 1];
  const growing = isRunning(last) ? partsOf(store, last).length - 1 : -1;
  return (
    <>
      {shownParts(chain, turn => partsOf(store, turn)).map((part, index) => {
        const { turn, index: at } = part.pieces[part.pieces.length - 1];
        const open = turn === last && at === growing;
        const live = store.live(turn.id);
        const Part = part.type === 'text' ? Markdown : Reasoning;
        return <Part key={index} part={part} live={live} open={open} />;
      })}
    </>
  );
}

interface IPartProps {
  part: IShownPart;
  /** of the turn that writes it now */
  live: LiveTurn | null;
  open: boolean;
}

/** A host that React never looks into; the view draws there. */
function Markdown({ part, live, open }: IPartProps): JSX.Element {
  const { kit, store } = useRoom();
  const host = React.useRef<HTMLDivElement>(null);
  const view = React.useRef<MarkdownView | null>(null);
  React.useLayoutEffect(() => {
    if (!host.current) {
      return;
    }
    const made = new MarkdownView(host.current, kit);
    view.current = made;
    return () => {
      view.current = null;
      made.dispose();
    };
  }, [kit]);
  React.useLayoutEffect(() => {
    // The turn's end takes its live text out of the store before this is drawn anew.
    const pieces = (turn: ITurn) =>
      turn.id === live?.id ? live.parts : partsOf(store, turn);
    const draw = () =>
      view.current?.update(textOf(part, pieces), open && !live?.ended);
    draw();
    return live && open ? live.subscribe(draw) : undefined;
  }, [kit, store, live, part, open]);
  return (
    <div
      ref={host}
      className="jp-Cellar-markdown jp-RenderedHTMLCommon"
      data-open={open || undefined}
    />
  );
}

function Reasoning(props: IPartProps): JSX.Element {
  const { trans, settings } = useRoom();
  const { live, open } = props;
  const [shown, setShown] = React.useState(settings.getState().showReasoning);
  const now = useSeconds(open);
  const last = React.useRef(0);
  if (live) {
    const since = live.thinkingSince;
    last.current =
      live.thinkingMs + (since === null ? 0 : Math.max(0, now - since));
  }
  const spent = last.current;
  return (
    <div className="jp-Cellar-reasoning" data-open={open || undefined}>
      <button
        type="button"
        className="jp-Cellar-reasoning-title"
        aria-expanded={shown}
        onClick={() => setShown(!shown)}
      >
        <span className="jp-Cellar-reasoning-mark" aria-hidden="true" />
        {open
          ? trans.__('Thinking… %1', seconds(trans, spent))
          : spent >= 500
            ? trans.__('Thought for %1', seconds(trans, spent))
            : trans.__('Reasoning')}
      </button>
      {shown ? <Markdown {...props} /> : null}
    </div>
  );
}

/** How it ended, when not well: what happened, and what helps. */
function Ending({ turn }: { turn: ITurn }): JSX.Element | null {
  const { trans, store } = useRoom();
  const busy = useBusy();
  if (turn.state === 'error' && turn.error) {
    return <ErrorCard turn={turn} error={turn.error} />;
  }
  const parts = partsOf(store, turn);
  const partial = parts.some(part => part.type === 'text' && part.text.trim());
  const words =
    turn.state === 'complete'
      ? emptyWords(trans, parts)
      : endingWords(turn, trans);
  if (!words) {
    return null;
  }
  return (
    <div className="jp-Cellar-ending" data-state={turn.state}>
      <span>{words}</span>
      {partial ? (
        <TextButton
          label={trans.__('Continue')}
          disabled={busy}
          title={busy ? busyWords(trans) : undefined}
          act={() => void store.continueTurn(turn.id)}
        />
      ) : (
        <TextButton
          label={trans.__('Ask again')}
          disabled={busy}
          title={busy ? busyWords(trans) : undefined}
          act={() => void store.regenerate(turn.id)}
        />
      )}
    </div>
  );
}

/** A whole answer in which there is none; '' for any other. */
export function emptyWords(
  trans: TranslationBundle,
  parts: readonly AnswerPart[]
): string {
  if (parts.some(part => part.type === 'text' && part.text.trim())) {
    return '';
  }
  return parts.some(part => part.type === 'reasoning')
    ? trans.__('The model reasoned, but gave no answer.')
    : trans.__('The model answered with nothing.');
}

function endingWords(turn: ITurn, trans: TranslationBundle): string {
  switch (turn.state) {
    case 'length':
      return trans.__('The answer reached its longest length.');
    case 'interrupted':
      return trans.__('The answer was cut off.');
    case 'stopped':
      return turn.stopped_by === 'orphan'
        ? trans.__('Stopped, because nobody was reading any more.')
        : trans.__('Stopped.');
    case 'tool_limit':
      return trans.__('Stopped after many steps.');
    default:
      return '';
  }
}
