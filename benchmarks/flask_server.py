"""The reports' own server: Flask's development server, Pillow, PyTorch in fp32, one image a request.

    python -m benchmarks.flask_server PORT CHECKPOINT
"""

import logging
import sys

import torch
from flask import Flask, jsonify, request
from PIL import Image
from torchvision import transforms as T

from cifar_cnn.train import load_checkpoint

checkpoint = load_checkpoint(sys.argv[2])
model = checkpoint.network
size = checkpoint.model_arguments["image_size"]
transform = T.Compose([T.Resize((size, size)), T.ToTensor(), T.Normalize(checkpoint.mean, checkpoint.std)])
app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    if "image" not in request.files:
        return jsonify({"success": False, "error": "no image"}), 400
    image = transform(Image.open(request.files["image"].stream).convert("RGB")).unsqueeze(0)
    with torch.no_grad():
        probabilities = torch.softmax(model(image), dim=1)[0]
    top = [{"class": checkpoint.classes[i], "confidence": float(probabilities[i])}
           for i in probabilities.argsort(descending=True)[:3]]
    return jsonify({"success": True, "prediction": top[0]["class"], "confidence": top[0]["confidence"],
                    "top3_predictions": top})


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request would only slow it down
    app.run(port=int(sys.argv[1]))
