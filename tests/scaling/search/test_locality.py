"""Prefix ids: made late and once, and the ones that replicas make by themselves from what they have sampled."""

from hypothesis import given
from hypothesis import strategies as st

from records.calls import child_prefix_id, root_prefix_id
from records.path import Path
from scaling.search import locality as module
from scaling.search.locality import Locality

texts = st.text(max_size=4)
pieces = st.tuples(texts, st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple))
samples = st.lists(st.tuples(st.integers(0, 40), st.lists(pieces, min_size=1, max_size=4)), max_size=12)


@given(sampled=samples, asked=st.permutations(range(20)), replica=st.sampled_from([None, "a", "b"]))
def test_ids_are_those_of_replicas_in_whatever_order_they_are_asked_for(sampled, asked, replica):
    root = Path(0, None, "question")
    nodes, locality = [root], Locality(root)
    generator, prm = {0: root_prefix_id("question")}, {0: root_prefix_id("question")}
    for place, steps in sampled:
        parent = nodes[place % len(nodes)]
        chain, path, token_ids = [], parent, ()
        for text, ids in steps:
            before, path = path, Path(len(nodes), path, text, ids)
            nodes.append(path)
            chain.append(path)
            token_ids += ids
            generator[path.node_id] = child_prefix_id(generator[parent.node_id], token_ids)
            prm[path.node_id] = child_prefix_id(prm[before.node_id], [text])
        locality.sampled(parent, chain, replica)
        held = [locality.generator(node).replica for node in chain]
        assert held == [None] * (len(chain) - 1) + [replica]
    for number in (*asked, *range(len(nodes))):
        node = nodes[number % len(nodes)]
        assert locality.generator(node).prefix_id == generator[node.node_id]
        assert locality.prm(node).prefix_id == prm[node.node_id]
        assert node.num_tokens == len(node.solution_token_ids)


def test_a_scored_path_is_held_with_every_step_before_it():
    root = Path(0, None, "question")
    first = Path(1, root, "first")
    left, right = Path(2, first, "left"), Path(3, first, "right")
    locality = Locality(root)
    locality.sampled(root, [first], "g")
    locality.sampled(first, [left], "g")
    locality.sampled(first, [right], "g")
    locality.scored(left, "a")
    locality.scored(right, "b")
    assert [locality.prm(path).replica for path in (root, first, left, right)] == ["b", "b", "a", "b"]


def test_nothing_is_hashed_before_it_is_asked_for_and_nothing_twice(monkeypatch):
    hashed = []
    monkeypatch.setattr(module, "child_prefix_id", lambda parent, content: hashed.append(content) or f"{parent}+")
    root = Path(0, None, "question")
    steps = [root]
    for number in range(1, 3000):  # deeper than Python recurses
        steps.append(Path(number, steps[-1], "x", (number,)))
    locality = Locality(root)
    locality.sampled(root, steps[1:], "g")
    assert hashed == []
    assert locality.generator(steps[-1]).prefix_id == locality.generator(steps[-1]).prefix_id
    assert hashed == [list(range(1, 3000))]
    assert locality.prm(steps[-1]).prefix_id == locality.prm(steps[-1]).prefix_id
    assert len(hashed) == 3000


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_other_texts_have_another_id(left, right):
    same = child_prefix_id("0" * 32, left) == child_prefix_id("0" * 32, right)
    assert same == (left == right)


def test_any_content_has_an_id():
    parent = root_prefix_id("question")
    ids = [child_prefix_id(parent, content) for content in ((), (1, 2), (12,), ["\ud83d"], ["a", "b"], ["ab"])]
    assert len({parent, *ids}) == 7
