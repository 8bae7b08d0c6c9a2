"""scikit-learn estimators: the same training and prediction as the command line's, on data in memory.

from sklearn.model_selection import GridSearchCV

from bertsmith import BertClassifier

texts, labels = ["a fine film", "what a bore", ...], ["pos", "neg", ...]
model = BertClassifier(epochs=3, max_length=128).fit(texts, labels)
model.predict(["fine"]), model.predict_proba(["fine"])
GridSearchCV(BertClassifier(), {"learning_rate": [1e-4, 3e-4]}, cv=3).fit(texts, labels)
model.save("runs/mine")                    # a bundle, for `bertsmith predict runs/mine` or `bertsmith.load`
"""

from bertsmith.estimators.texts import BertClassifier, BertRegressor
from bertsmith.estimators.tokens import BertAnswerer, BertTagger

__all__ = ["BertAnswerer", "BertClassifier", "BertRegressor", "BertTagger"]
