/** The branch that is shown, from its first turn to its last. */
import { caretDownEmptyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { onTheWay } from '../../chat/state';
import { subjectOf, type ISubject } from '../../chat/subject';
import { branchTo, isRunning, isWaiting, type Turns } from '../../chat/tree';
import type { ITurn } from '../../wire/types';
import { markAllRuns } from '../markdown/code';
import { useChat, useRoom } from '../room';
import { Announcer } from './Announcer';
import { chainsOf } from './chain';
import { actOnCode } from './codeactions';
import { SendingQuestion } from './Question';
import { ScrollKeeper } from './scroll';
import { TurnView } from './TurnView';

/** The last ones are drawn at once; the rest when it comes near. */
const AT_ONCE = 4;

export function Transcript(): JSX.Element {
  const { trans, targets } = useRoom();
  const turns = useChat(state => state.turns);
  const head = useChat(state => state.head);
  const conversation = useChat(state => state.conversationId);
  const sending = useChat(state => state.sending);
  const { next } = React.useMemo(
    () => onTheWay({ sending, turns, conversationId: conversation }),
    [sending, turns, conversation]
  );
  const branch = React.useMemo(() => branchTo(turns, head), [turns, head]);
  const places = React.useMemo(() => placesOf(turns), [turns]);
  const chains = React.useMemo(() => chainsOf(branch), [branch]);
  const scroller = React.useRef<HTMLDivElement>(null);
  const content = React.useRef<HTMLDivElement>(null);
  const { keeper, atEnd } = useKeeper(scroller, content);
  const observe = useNearness(scroller);
  const fresh = useFresh(conversation, branch, next !== null);
  const { target } = React.useSyncExternalStore(
    targets.subscribe,
    targets.getState
  );
  React.useLayoutEffect(() => keeper.current?.toEnd(), [conversation, keeper]);
  React.useLayoutEffect(() => {
    if (next !== null || fresh !== null) {
      keeper.current?.toEnd();
    }
  }, [next, fresh, keeper]);
  React.useLayoutEffect(() => {
    if (content.current) {
      markAllRuns(content.current, target.runs);
    }
  }, [target]);
  const subjectHere = (button: Element): ISubject | null => {
    const id = button.closest<HTMLElement>('[data-turn]')?.dataset.turn;
    return id ? subjectOf(turns, id) : null;
  };
  return (
    <div className="jp-Cellar-transcriptBox">
      <div
        ref={scroller}
        className="jp-Cellar-transcript"
        role="region"
        aria-label={trans.__('Conversation')}
        tabIndex={0}
        data-can={Object.entries(target)
          .filter(([, act]) => act !== undefined)
          .map(([name]) => name)
          .join(' ')}
        onClick={event => actOnCode(event, target, trans, subjectHere)}
        onKeyDown={event => jumpByKey(event, scroller.current)}
      >
        <div ref={content} className="jp-Cellar-turns">
          {branch.map((turn, index) => (
            <TurnView
              key={turn.id}
              turn={turn}
              places={places.get(turn.id) ?? []}
              last={index === branch.length - 1 && next === null}
              chain={chains.get(turn.id) ?? [turn]}
              fresh={turn.id === fresh && !turn.continue_of}
              near={index >= branch.length - AT_ONCE}
              observe={observe}
            />
          ))}
          {next ? (
            <div className="jp-Cellar-turn" data-last data-fresh>
              <SendingQuestion text={next.text} pills={next.pills} />
            </div>
          ) : null}
        </div>
      </div>
      {atEnd ? null : (
        <button
          type="button"
          className="jp-Cellar-toEnd"
          onClick={() => keeper.current?.toEnd()}
        >
          <caretDownEmptyIcon.react tag="span" />
          {trans.__('Jump to latest')}
        </button>
      )}
      <Announcer branch={branch} />
    </div>
  );
}

function useKeeper(
  scroller: React.RefObject<HTMLDivElement>,
  content: React.RefObject<HTMLDivElement>
): { keeper: React.RefObject<ScrollKeeper | null>; atEnd: boolean } {
  const keeper = React.useRef<ScrollKeeper | null>(null);
  const [atEnd, setAtEnd] = React.useState(true);
  React.useLayoutEffect(() => {
    if (!scroller.current || !content.current) {
      return;
    }
    const made = new ScrollKeeper(scroller.current, content.current, setAtEnd);
    keeper.current = made;
    made.toEnd();
    return () => made.dispose();
  }, [scroller, content]);
  return { keeper, atEnd };
}

/** One observer for all turns: tells each when it comes near the screen. */
function useNearness(
  scroller: React.RefObject<HTMLDivElement>
): (node: HTMLElement, show: () => void) => () => void {
  const observer = React.useRef<IntersectionObserver | null>(null);
  const shows = React.useRef(new Map<Element, () => void>());
  React.useEffect(() => () => observer.current?.disconnect(), []);
  return React.useCallback(
    (node, show) => {
      observer.current ??= new IntersectionObserver(
        entries => {
          for (const entry of entries) {
            if (entry.isIntersecting) {
              shows.current.get(entry.target)?.();
            }
          }
        },
        { root: scroller.current, rootMargin: '1000px 0px' }
      );
      shows.current.set(node, show);
      observer.current.observe(node);
      return () => {
        shows.current.delete(node);
        observer.current?.unobserve(node);
      };
    },
    [scroller]
  );
}

/** The turn that was asked here, on this page, last; null after a reload. */
function useFresh(
  conversation: string,
  branch: readonly ITurn[],
  sending: boolean
): string | null {
  const last = branch[branch.length - 1];
  const [fresh, setFresh] = React.useState<string | null>(null);
  const known = React.useRef({ conversation, last: last?.id, sending });
  React.useLayoutEffect(() => {
    const before = known.current;
    known.current = { conversation, last: last?.id, sending };
    const founded = before.conversation === '' && before.sending;
    if (before.conversation !== conversation && !founded) {
      setFresh(null);
    } else if (last && last.id !== before.last && isRunning(last)) {
      setFresh(last.id);
    }
  }, [conversation, last, sending]);
  return fresh;
}

/** For each turn the ids that share its place, oldest first. */
function placesOf(turns: Turns): Map<string, string[]> {
  const groups = new Map<string | null, ITurn[]>();
  for (const turn of turns.values()) {
    if (!isWaiting(turn)) {
      const group = groups.get(turn.parent_id);
      if (group) {
        group.push(turn);
      } else {
        groups.set(turn.parent_id, [turn]);
      }
    }
  }
  const places = new Map<string, string[]>();
  for (const group of groups.values()) {
    group.sort((a, b) => a.created - b.created);
    const ids = group.map(turn => turn.id);
    ids.forEach(id => places.set(id, ids));
  }
  return places;
}

/** Alt+Up and Alt+Down go from question to question. */
function jumpByKey(
  event: React.KeyboardEvent,
  scroller: HTMLElement | null
): void {
  const step = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0;
  if (!scroller || !event.altKey || step === 0) {
    return;
  }
  event.preventDefault();
  const tops = Array.from(
    scroller.querySelectorAll<HTMLElement>('.jp-Cellar-turn'),
    node => node.offsetTop
  );
  const now = scroller.scrollTop;
  const next =
    step < 0
      ? tops.filter(top => top < now - 4).pop()
      : tops.find(top => top > now + 4);
  if (next !== undefined) {
    scroller.scrollTo({ top: next });
  }
}
