"""Every River estimator of the catalogue goes on from its bytes exactly as it would have gone on itself."""

import datetime as dt
import math
import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from river import (
    anomaly,
    bandit,
    cluster,
    compose,
    covariance,
    drift,
    dummy,
    ensemble,
    facto,
    feature_extraction,
    feature_selection,
    forest,
    imblearn,
    linear_model,
    metrics,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    proba,
    reco,
    rules,
    sketch,
    stats,
    time_series,
    tree,
    utils,
)

from anabranch.statetree import StateTreeError, decode, digest, encode, refusals
from support.command_line import python

TRAINED, CONTINUED = 500, 200
NUMBERS = ("amount", "age", "hour", "ratio")
WORDS = ("river", "delta", "bank", "flow", "bed", "ford", "weir", "reach", "bend", "pool")

Event = dict[str, Any]
Step = Callable[[Any, Event], Any]


def events(count: int, *, seed: int = 7, drift_at: int = 250) -> list[Event]:
    """A seeded stream whose concept turns round at `drift_at`, so that detectors and trees do something."""
    rng = random.Random(seed)
    return [_event(rng, place, turned=place > drift_at) for place in range(count)]


def _event(rng: random.Random, place: int, *, turned: bool) -> Event:
    numbers = {name: rng.gauss(0, 1) for name in NUMBERS}
    score = numbers["amount"] - numbers["age"] * (2 if turned else 1) + rng.gauss(0, 0.1)
    return {
        "place": place,
        "x": numbers,
        "word": rng.choice(WORDS),
        "code": rng.randrange(6),
        "y": (score > 0) != turned,
        "kind": min(2, max(0, int(score + 1))),
        "target": score,
        "text": " ".join(rng.choices(WORDS, k=6)),
    }


def classify(model: Any, event: Event, *, label: str = "y") -> Any:
    try:
        answer = model.predict_proba_one(event["x"])
    except NotImplementedError:
        answer = model.predict_one(event["x"])
    model.learn_one(event["x"], event[label])
    return answer


def classify_codes(model: Any, event: Event) -> Any:
    x = {"code": event["code"], "word": event["word"], **event["x"]}
    return classify(model, {**event, "x": x})


def classify_counts(model: Any, event: Event) -> Any:
    return classify(model, {**event, "x": {name: int(abs(n) * 3) for name, n in event["x"].items()}})


def classify_text(model: Any, event: Event) -> Any:
    return classify(model, {**event, "x": event["text"]})


def regress(model: Any, event: Event) -> Any:
    answer = model.predict_one(event["x"])
    model.learn_one(event["x"], event["target"] + 10)
    return answer


def regress_many(model: Any, event: Event) -> Any:
    answer = model.predict_one(event["x"])
    model.learn_one(event["x"], {"first": event["target"], "second": 2 - event["target"]})
    return answer


def classify_many(model: Any, event: Event) -> Any:
    answer = model.predict_one(event["x"])
    model.learn_one(event["x"], {"first": event["y"], "second": event["target"] > 1})
    return answer


def score(model: Any, event: Event) -> Any:
    answer = model.score_one({name: 1 / (1 + math.exp(-n)) for name, n in event["x"].items()})
    model.learn_one({name: 1 / (1 + math.exp(-n)) for name, n in event["x"].items()})
    return answer


def transform(model: Any, event: Event) -> Any:
    model.learn_one(event["x"])
    return model.transform_one(event["x"])


def transform_words(model: Any, event: Event) -> Any:
    x = {"word": event["word"], "code": event["code"]}
    model.learn_one(x)
    return model.transform_one(x)


def transform_missing(model: Any, event: Event) -> Any:
    x = {"word": event["word"] if event["place"] % 3 else None, "amount": event["x"]["amount"]}
    model.learn_one(x)
    return model.transform_one(x)


def transform_knowing(model: Any, event: Event) -> Any:
    x = {"word": event["word"], **event["x"]}
    model.learn_one(x, event["target"])
    return model.transform_one(x)


def transform_text(model: Any, event: Event) -> Any:
    model.learn_one(event["text"])
    return model.transform_one(event["text"])


def assign(model: Any, event: Event) -> Any:
    model.learn_one(event["x"])
    return model.predict_one(event["x"])


def detect(model: Any, event: Event) -> Any:
    model.update(abs(event["target"]))
    return model.drift_detected


def detect_errors(model: Any, event: Event) -> Any:
    model.update((event["x"]["amount"] > event["x"]["age"]) != event["y"])
    return model.drift_detected, model.warning_detected


def measure(metric: Any, event: Event) -> Any:
    metric.update(event["y"], event["x"]["amount"] > 0)
    return repr(metric)


def measure_odds(metric: Any, event: Event) -> Any:
    metric.update(event["y"], 1 / (1 + math.exp(-event["x"]["amount"])))
    return metric.get()


def measure_error(metric: Any, event: Event) -> Any:
    metric.update(event["target"], event["x"]["amount"])
    return metric.get()


def measure_in_time(metric: Any, event: Event) -> Any:
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001  # TimeRolling starts from a naive one itself
    metric.update(event["target"], t=start + dt.timedelta(hours=event["place"]))
    return metric.get()


def measure_pairs(statistic: Any, event: Event) -> Any:
    statistic.update(event["x"]["amount"], event["target"])
    return statistic.get()


def collect(statistic: Any, event: Event) -> Any:
    statistic.update(event["target"])
    return statistic.get()


def collect_words(statistic: Any, event: Event) -> Any:
    statistic.update(event["word"])
    return statistic.get() if hasattr(statistic, "get") else repr(statistic)


def collect_events(statistic: Any, event: Event) -> Any:
    statistic.update(event["x"])
    return repr(statistic)


def rate(model: Any, event: Event) -> Any:
    answer = model.predict_one(event["word"], event["code"])
    model.learn_one(event["word"], event["code"], event["target"])
    return answer


def forecast(model: Any, event: Event) -> Any:
    model.learn_one(event["target"] + 10)
    return model.forecast(3) if event["place"] > 30 else None


def pull(policy: Any, event: Event) -> Any:
    arm = policy.pull(["a", "b", "c"])
    policy.update(arm, event["y"])
    return arm


def _optimized(optimizer: Callable[[], Any], **settings: Any) -> Callable[[], Any]:
    return lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer(), **settings)


def _union() -> Any:
    words = compose.Select("word", "code") | preprocessing.OneHotEncoder()
    numbers = compose.Select(*NUMBERS) | preprocessing.MinMaxScaler()
    return (words + numbers) | linear_model.LogisticRegression(optim.Adam())


def _typed_union() -> Any:
    words = compose.SelectType(str) | preprocessing.OneHotEncoder()
    numbers = compose.SelectType(float, int) | preprocessing.StandardScaler()
    return (words + numbers) | linear_model.LogisticRegression()


def _scaled(last: Any) -> Any:
    return preprocessing.StandardScaler() | last


_tree = partial(tree.HoeffdingTreeClassifier, grace_period=40, delta=0.1)
_tree_regressor = partial(tree.HoeffdingTreeRegressor, grace_period=40, delta=0.1)
_logistic = linear_model.LogisticRegression
_linear = linear_model.LinearRegression
_balance = {False: 0.5, True: 0.5}

_OPTIMIZERS = "AdaBound AdaDelta AdaGrad Adam AMSGrad AdaMax FTRLProximal Momentum Nadam NesterovMomentum RMSProp SGD"
_PLAIN_STATS = (
    "AbsMax Count Entropy EWMean EWVar IQR Kurtosis MAD Max Mean Min Mode PeakToPeak Quantile SEM Shift Skew Sum Var"
)
_LABEL_METRICS = (
    "Accuracy AdjustedMutualInfo AdjustedRand BalancedAccuracy ClassificationReport CohenKappa Completeness "
    "ConfusionMatrix F1 FowlkesMallows GeometricMean Homogeneity Jaccard MCC MacroF1 MacroPrecision MicroF1 "
    "MicroRecall MutualInfo NormalizedMutualInfo Precision Rand Recall VBeta WeightedF1"
)

CATALOGUE: dict[str, tuple[Step, Callable[[], Any]]] = {
    # linear models, and each optimizer inside one
    "LogisticRegression": (classify, lambda: _scaled(_logistic())),
    "LogisticRegression l1": (classify, lambda: _scaled(_logistic(l1=0.01))),
    "LogisticRegression l2": (
        classify,
        lambda: _scaled(_logistic(l2=0.01, initializer=optim.initializers.Normal(seed=3))),
    ),
    **{f"optim {name}": (classify, _optimized(getattr(optim, name))) for name in _OPTIMIZERS.split()},
    "optim Averager": (classify, _optimized(lambda: optim.Averager(optim.SGD(0.01)))),
    "LinearRegression": (regress, lambda: _scaled(_linear())),
    "LinearRegression Huber": (regress, lambda: _scaled(_linear(loss=optim.losses.Huber(), intercept_lr=0.1))),
    "BayesianLinearRegression": (regress, linear_model.BayesianLinearRegression),
    "PARegressor": (regress, lambda: _scaled(linear_model.PARegressor(mode=2))),
    "PAClassifier": (classify, lambda: _scaled(linear_model.PAClassifier(mode=1))),
    "Perceptron": (classify, lambda: _scaled(linear_model.Perceptron())),
    "ALMAClassifier": (classify, lambda: _scaled(linear_model.ALMAClassifier())),
    "AdPredictor": (classify, linear_model.AdPredictor),
    "SoftmaxRegression": (partial(classify, label="kind"), linear_model.SoftmaxRegression),
    # naive Bayes
    "GaussianNB": (classify, naive_bayes.GaussianNB),
    "MultinomialNB": (classify_counts, naive_bayes.MultinomialNB),
    "BernoulliNB": (classify_counts, naive_bayes.BernoulliNB),
    "ComplementNB": (classify_counts, naive_bayes.ComplementNB),
    "BagOfWords NB": (classify_text, lambda: feature_extraction.BagOfWords() | naive_bayes.MultinomialNB()),
    # trees
    "HoeffdingTreeClassifier": (classify_codes, _tree),
    "HoeffdingTreeClassifier nominal": (classify_codes, lambda: _tree(nominal_attributes=["word", "code"])),
    "HoeffdingTreeClassifier histogram": (classify, lambda: _tree(splitter=tree.splitter.HistogramSplitter())),
    "HoeffdingTreeClassifier exhaustive": (classify, lambda: _tree(splitter=tree.splitter.ExhaustiveSplitter())),
    "HoeffdingTreeRegressor": (regress, _tree_regressor),
    "HoeffdingTreeRegressor QO": (regress, lambda: _tree_regressor(splitter=tree.splitter.QOSplitter())),
    "HoeffdingTreeRegressor model": (regress, lambda: _tree_regressor(leaf_prediction="model")),
    "ExtremelyFastDecisionTree": (
        classify,
        lambda: tree.ExtremelyFastDecisionTreeClassifier(grace_period=40, delta=0.1),
    ),
    "HoeffdingAdaptiveTreeClassifier": (classify, lambda: tree.HoeffdingAdaptiveTreeClassifier(40, delta=0.1, seed=1)),
    "HoeffdingAdaptiveTreeRegressor": (regress, lambda: tree.HoeffdingAdaptiveTreeRegressor(40, delta=0.1, seed=1)),
    "LASTClassifier": (classify, tree.LASTClassifier),
    "SGTClassifier": (classify, lambda: tree.SGTClassifier(grace_period=40, delta=0.1)),
    "SGTRegressor": (regress, lambda: tree.SGTRegressor(grace_period=40, delta=0.1)),
    "ISOUPTreeRegressor": (regress_many, lambda: tree.ISOUPTreeRegressor(grace_period=40, delta=0.1)),
    # forests
    "ARFClassifier": (classify, lambda: forest.ARFClassifier(3, seed=1, grace_period=20)),
    "ARFClassifier unseeded": (classify, lambda: forest.ARFClassifier(2)),
    "ARFRegressor": (regress, lambda: forest.ARFRegressor(3, seed=1, grace_period=20)),
    "AMFClassifier": (classify, lambda: forest.AMFClassifier(3, seed=1)),
    "AMFRegressor": (regress, lambda: forest.AMFRegressor(3, seed=1)),
    "OXTRegressor": (regress, lambda: forest.OXTRegressor(3, seed=1, grace_period=20)),
    # ensembles
    "BaggingClassifier": (classify, lambda: ensemble.BaggingClassifier(_tree(), 3, seed=1)),
    "BaggingRegressor": (regress, lambda: ensemble.BaggingRegressor(_tree_regressor(), 3, seed=1)),
    "LeveragingBagging": (classify, lambda: ensemble.LeveragingBaggingClassifier(_tree(), 3, seed=1)),
    "ADWINBagging": (classify, lambda: ensemble.ADWINBaggingClassifier(_logistic(), 3, seed=1)),
    "ADWINBoosting": (classify, lambda: ensemble.ADWINBoostingClassifier(_logistic(), 3, seed=1)),
    "AdaBoost": (classify, lambda: ensemble.AdaBoostClassifier(_tree(), 3, seed=1)),
    "BOLE": (classify, lambda: ensemble.BOLEClassifier(_tree(), 3, seed=1)),
    "SRPClassifier": (classify, lambda: ensemble.SRPClassifier(n_models=3, seed=1)),
    "SRPRegressor": (regress, lambda: ensemble.SRPRegressor(n_models=3, seed=1)),
    "EWARegressor": (regress, lambda: ensemble.EWARegressor([_linear(), _tree_regressor()])),
    "StackingClassifier": (
        classify,
        lambda: ensemble.StackingClassifier([_tree(), naive_bayes.GaussianNB()], _logistic()),
    ),
    "VotingClassifier": (classify, lambda: ensemble.VotingClassifier([_logistic(), naive_bayes.GaussianNB()])),
    # neighbours, factorization, rules, recommendations
    "KNNClassifier": (classify, lambda: neighbors.KNNClassifier(3, neighbors.LazySearch(100))),
    "KNNRegressor": (regress, lambda: neighbors.KNNRegressor(3, neighbors.LazySearch(100))),
    "FMClassifier": (classify, lambda: facto.FMClassifier(3, seed=1)),
    "FFMRegressor": (regress, lambda: facto.FFMRegressor(3, seed=1)),
    "FwFMClassifier": (classify, lambda: facto.FwFMClassifier(3, seed=1)),
    "HOFMRegressor": (regress, lambda: facto.HOFMRegressor(3, seed=1)),
    "AMRules": (regress, lambda: rules.AMRules(n_min=50)),
    "Baseline": (rate, lambda: reco.Baseline(optim.SGD(0.01))),
    "BiasedMF": (rate, lambda: reco.BiasedMF(latent_initializer=optim.initializers.Normal(seed=1))),
    "FunkMF": (rate, lambda: reco.FunkMF(initializer=optim.initializers.Normal(seed=1))),
    "RandomNormal": (rate, lambda: reco.RandomNormal(seed=1)),
    # composition
    "Select union": (classify_codes, _union),
    "SelectType union": (classify_codes, _typed_union),
    "TransformerProduct": (classify, lambda: compose.Select("age") * compose.Select("hour") | _logistic()),
    "Grouper": (transform_words, lambda: compose.Grouper(preprocessing.OneHotEncoder(), by="word")),
    "TargetTransformRegressor": (regress, lambda: compose.TargetTransformRegressor(_linear(), math.sqrt, math.exp)),
    "TargetStandardScaler": (regress, lambda: preprocessing.TargetStandardScaler(_linear())),
    "OneVsRest": (partial(classify, label="kind"), lambda: multiclass.OneVsRestClassifier(_logistic())),
    "OneVsOne": (partial(classify, label="kind"), lambda: multiclass.OneVsOneClassifier(_logistic())),
    "ClassifierChain": (classify_many, lambda: multioutput.ClassifierChain(_logistic())),
    "RegressorChain": (regress_many, lambda: multioutput.RegressorChain(_linear())),
    "RandomOverSampler": (classify, lambda: imblearn.RandomOverSampler(_logistic(), _balance, seed=1)),
    "RandomUnderSampler": (classify, lambda: imblearn.RandomUnderSampler(_logistic(), _balance, seed=1)),
    "RandomSampler": (classify, lambda: imblearn.RandomSampler(_logistic(), _balance, seed=1)),
    "HardSampling": (classify, lambda: imblearn.HardSamplingClassifier(_logistic(), 10, 0.3, seed=1)),
    "ChebyshevOverSampler": (regress, lambda: imblearn.ChebyshevOverSampler(_linear())),
    "ChebyshevUnderSampler": (regress, lambda: imblearn.ChebyshevUnderSampler(_linear(), seed=1)),
    "GreedyRegressor": (regress, lambda: model_selection.GreedyRegressor([_linear(), _tree_regressor()])),
    "DriftRetraining": (
        classify,
        lambda: drift.DriftRetrainingClassifier(naive_bayes.GaussianNB(), drift.binary.DDM()),
    ),
    "PriorClassifier": (classify, dummy.PriorClassifier),
    "StatisticRegressor": (regress, lambda: dummy.StatisticRegressor(stats.Mean())),
    # transformers
    "StandardScaler": (transform, preprocessing.StandardScaler),
    "StandardScaler window": (transform, lambda: preprocessing.StandardScaler(window_size=50)),
    "AdaptiveStandardScaler": (transform, preprocessing.AdaptiveStandardScaler),
    "MinMaxScaler": (transform, preprocessing.MinMaxScaler),
    "MinMaxScaler window": (transform, lambda: preprocessing.MinMaxScaler(window_size=50)),
    "MaxAbsScaler": (transform, preprocessing.MaxAbsScaler),
    "RobustScaler": (transform, preprocessing.RobustScaler),
    "Normalizer": (transform, preprocessing.Normalizer),
    "Binarizer": (transform, preprocessing.Binarizer),
    "OneHotEncoder": (transform_words, preprocessing.OneHotEncoder),
    "OrdinalEncoder": (transform_words, preprocessing.OrdinalEncoder),
    "FeatureHasher": (transform_words, lambda: preprocessing.FeatureHasher(8, seed=1)),
    "StatImputer": (
        transform_missing,
        lambda: preprocessing.StatImputer(("word", stats.Mode()), ("amount", stats.Mean())),
    ),
    "PreviousImputer": (transform_missing, preprocessing.PreviousImputer),
    "Agg": (transform_knowing, lambda: feature_extraction.TargetAgg(by="word", how=stats.BayesianMean(0, 5))),
    "Agg rolling": (
        transform_knowing,
        lambda: feature_extraction.TargetAgg(by="word", how=utils.Rolling(stats.Mean, window_size=9)),
    ),
    "PolynomialExtender": (transform, lambda: feature_extraction.PolynomialExtender(2)),
    "RBFSampler": (transform, lambda: feature_extraction.RBFSampler(seed=1)),
    "BagOfWords": (transform_text, lambda: feature_extraction.BagOfWords(ngram_range=(1, 2), stop_words={"bank"})),
    "TFIDF": (transform_text, feature_extraction.TFIDF),
    "LDA": (transform_text, lambda: feature_extraction.BagOfWords() | preprocessing.LDA(3, 50, seed=1)),
    "GaussianRandomProjector": (transform, lambda: preprocessing.GaussianRandomProjector(2, seed=1)),
    "SparseRandomProjector": (transform, lambda: preprocessing.SparseRandomProjector(2, seed=1)),
    "VarianceThreshold": (transform, feature_selection.VarianceThreshold),
    "PoissonInclusion": (transform, lambda: feature_selection.PoissonInclusion(0.2, seed=1)),
    # anomalies and clusters
    "HalfSpaceTrees": (score, lambda: anomaly.HalfSpaceTrees(3, 4, 50, seed=1)),
    "OneClassSVM": (score, anomaly.OneClassSVM),
    "LODA": (score, lambda: anomaly.LODA(seed=1)),
    "LocalOutlierFactor": (score, lambda: anomaly.LocalOutlierFactor(3, engine=neighbors.LazySearch(30))),
    "QuantileFilter": (score, lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(3, 4, 50, seed=1), q=0.9)),
    "KMeans": (assign, lambda: cluster.KMeans(3, seed=1)),
    "STREAMKMeans": (assign, lambda: cluster.STREAMKMeans(chunk_size=20, n_clusters=3, seed=1)),
    "DBSTREAM": (assign, lambda: cluster.DBSTREAM(clustering_threshold=1.0)),
    "DenStream": (assign, lambda: cluster.DenStream(n_samples_init=50)),
    "CluStream": (assign, lambda: cluster.CluStream(n_macro_clusters=3, max_micro_clusters=20, seed=1)),
    # time series and bandits
    "HoltWinters": (forecast, lambda: time_series.HoltWinters(0.3, 0.2, 0.2, 7)),
    "HoltWinters multiplicative": (forecast, lambda: time_series.HoltWinters(0.3, 0.2, 0.2, 7, multiplicative=True)),
    "SNARIMAX": (forecast, lambda: time_series.SNARIMAX(p=3, d=1, q=2)),
    "EpsilonGreedy": (pull, lambda: bandit.EpsilonGreedy(0.2, seed=1)),
    "UCB": (pull, lambda: bandit.UCB(delta=1, seed=1)),
    # detectors
    "ADWIN": (detect, lambda: drift.ADWIN(delta=0.01)),
    "KSWIN": (detect, lambda: drift.KSWIN(window_size=60, seed=1)),
    "PageHinkley": (detect, lambda: drift.PageHinkley(threshold=10)),
    "DDM": (detect_errors, drift.binary.DDM),
    "EDDM": (detect_errors, drift.binary.EDDM),
    "FHDDM": (detect_errors, drift.binary.FHDDM),
    "HDDM_A": (detect_errors, drift.binary.HDDMA),
    "HDDM_W": (detect_errors, drift.binary.HDDMW),
    "DummyDriftDetector": (detect, lambda: drift.DummyDriftDetector(t_0=50, w=20, dynamic_cloning=True, seed=1)),
    # metrics and statistics
    **{f"metrics {name}": (measure, getattr(metrics, name)) for name in _LABEL_METRICS.split()},
    **{f"metrics {name}": (measure_odds, getattr(metrics, name)) for name in ("LogLoss", "ROCAUC")},
    "metrics RollingROCAUC": (measure_odds, lambda: metrics.RollingROCAUC(window_size=50)),
    "metrics RollingPRAUC": (measure_odds, lambda: metrics.RollingPRAUC(window_size=50)),
    **{
        f"metrics {name}": (measure_error, getattr(metrics, name))
        for name in ("MAE", "MAPE", "MSE", "R2", "RMSE", "SMAPE")
    },
    "metrics sum": (measure, lambda: metrics.Accuracy() + metrics.F1()),
    "Rolling accuracy": (measure, lambda: utils.Rolling(metrics.Accuracy, window_size=50)),
    "Rolling MAE": (measure_error, lambda: utils.Rolling(metrics.MAE, window_size=50)),
    "TimeRolling mean": (measure_in_time, lambda: utils.TimeRolling(stats.Mean, period=dt.timedelta(hours=9))),
    **{f"stats {name}": (collect, getattr(stats, name)) for name in _PLAIN_STATS.split()},
    "stats AutoCorr": (collect, lambda: stats.AutoCorr(3)),
    "stats BayesianMean": (collect, lambda: stats.BayesianMean(0, 10)),
    **{
        f"stats {name}": (collect, partial(getattr(stats, name), window_size=30))
        for name in ("RollingAbsMax", "RollingIQR", "RollingMax", "RollingMin", "RollingMode", "RollingPeakToPeak")
    },
    "stats RollingQuantile": (collect, lambda: stats.RollingQuantile(0.3, 30)),
    **{f"stats {name}": (measure_pairs, getattr(stats, name)) for name in ("Cov", "EWCov", "PearsonCorr")},
    "stats Link": (collect, lambda: stats.Shift(1) | stats.Mean()),
    "HeavyHitters": (collect_words, sketch.HeavyHitters),
    "Histogram": (lambda h, event: (h.update(event["target"]), len(h)), sketch.Histogram),
    "NUnique": (collect_words, lambda: sketch.NUnique(seed=1)),
    "Multinomial": (collect_words, lambda: proba.Multinomial(seed=1)),
    "EmpiricalCovariance": (collect_events, covariance.EmpiricalCovariance),
    "EmpiricalPrecision": (collect_events, covariance.EmpiricalPrecision),
}

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "sketch.Counter": (sketch.Counter, "hash()"),
    "sketch.Set": (sketch.Set, "hash()"),
    "RandomTreesEmbedding": (feature_extraction.RandomTreesEmbedding, "memory address"),
    "KNN over SWINN": (lambda: neighbors.KNNClassifier(engine=neighbors.SWINN()), "class-level set"),
    "KolmogorovSmirnov": (stats.KolmogorovSmirnov, "whole process"),
    "OutputCodeClassifier": (lambda: multiclass.OutputCodeClassifier(_logistic(), 3, seed=1), "iterator"),
    "FuncTransformer": (lambda: compose.FuncTransformer(lambda x: x), "importable module"),
    "PerOutput of a lambda": (
        lambda: compose.TargetTransformRegressor(_linear(), lambda y: y, abs),
        "importable module",
    ),
}


@pytest.fixture(autouse=True)
def _rivers_warnings() -> Any:
    """River's own deprecations and numpy's overflows are not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_copy_continues_bit_for_bit(name: str) -> None:
    """Decoded from its bytes, an estimator answers, learns and ends exactly as the original does."""
    step, make = CATALOGUE[name]
    # Through the bytes once, as a learner does with every new model: River's sets then have one order for good.
    original, stream = decode(encode(make())), events(TRAINED + CONTINUED)
    for event in stream[:TRAINED]:
        step(original, event)
    data = encode(original)
    copy = decode(data)
    assert encode(copy) == data
    for event in stream[TRAINED:]:
        assert repr(step(copy, event)) == repr(step(original, event))
    assert encode(copy) == encode(original)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_restored_is_refused_by_name(name: str) -> None:
    """Estimators whose state is not all in their attributes are named at the start, not lost later."""
    make, reason = REFUSED[name]
    assert any(reason in fault for fault in refusals(make()))
    with pytest.raises(StateTreeError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        encode(make())


# Not TFIDF and not HoeffdingAdaptiveTree: River itself iterates over fresh sets of strings in them.
_ACROSS = ["Select union", "HoeffdingTreeClassifier nominal", "OneHotEncoder", "BagOfWords NB", "ARFClassifier"]


def trained_digests() -> list[str]:
    """The digests of a few models with string features, for comparison with another process."""
    digests = []
    for step, make in (CATALOGUE[name] for name in _ACROSS):
        model = decode(encode(make()))
        for event in events(200):
            step(model, event)
        digests.append(digest(model))
    return digests


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_finds_the_same_digest(hash_seed: str) -> None:
    """Neither the order of sets nor interned strings reach the bytes."""
    code = "import runpy, sys; print(*runpy.run_path(sys.argv[1])['trained_digests']())"
    said = python("-W", "ignore", "-c", code, __file__, PYTHONHASHSEED=hash_seed)
    assert said.split() == trained_digests()
