"""pass@k: the chance that k samples of a problem hold a right one, from n samples of which c are right.

    pass@k = 1 - C(n - c, k) / C(n, k)        M. Chen et al., Evaluating Large Language Models Trained on Code
                                              (arXiv 2107.03374), equation 1: unbiased, the mean over all subsets of k

Coverage at n samples (is one of them right?) is pass@n of the same problem.
"""


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """The estimate for one problem, in [0, 1].

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 4, 3)
    (0.25, 0.5, 1.0)

    Args:
        num_samples: n, that were drawn.
        num_right: c, of these.
        k: at least 1 and at most n.

    Raises:
        ValueError: the counts are out of range.
    """
    if not (0 <= num_right <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"0 <= c <= n and 1 <= k <= n must hold: n={num_samples}, c={num_right}, k={k}")
    all_wrong = 1.0
    for at in range(k):
        all_wrong *= max(0, num_samples - num_right - at) / (num_samples - at)
    return 1.0 - all_wrong
